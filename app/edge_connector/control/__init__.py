"""How programs on this machine find a running connector and talk to it: the lock file and the command socket."""
