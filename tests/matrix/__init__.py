"""Every caller mode over every upstream mode: generated from the tables of modes, so that none can be forgotten."""
