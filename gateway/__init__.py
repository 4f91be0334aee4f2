"""callmode: any call mode in, any call mode out, in front of Orchestrator's API triggers."""
