"""Tests of the simulator, over real sockets; long durations pass in virtual time."""
