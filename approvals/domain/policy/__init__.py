"""The policy language: read strictly, judged purely (POLICY.md)."""
