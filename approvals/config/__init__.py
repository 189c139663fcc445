"""What is set from outside: the environment and approvals.yaml."""
