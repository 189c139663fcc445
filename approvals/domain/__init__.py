"""What is true of calls, policies and approvals, as functions of their arguments."""
