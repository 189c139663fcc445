"""A program that runs its tools itself and asks a person first, over REST.

`python examples/program.py "delete everything"`, with `APPROVALS_URL` (else http://127.0.0.1:8642)
and the key of an agent that has a server `shop` in `APPROVALS_KEY`.
"""

import os
import secrets
import sys

import httpx2

URL = os.environ.get("APPROVALS_URL", "http://127.0.0.1:8642")


def delete(what: str) -> str:
    """The tool: what must not happen by mistake."""
    return f"deleted {what}"


def main(what: str) -> int:
    """Ask, wait, take the one release, run, tell the outcome."""
    headers = {"authorization": f"Bearer {os.environ['APPROVALS_KEY']}"}
    with httpx2.Client(base_url=URL, headers=headers, timeout=60) as http:
        call = {"server": "shop", "tool": "delete", "arguments": {"what": what}}
        asked = http.post("/v1/approvals", json=call).raise_for_status().json()
        if asked["verdict"] == "deny":
            print(asked["refusal"]["message"])
            return 1
        approval = asked["approval"]
        if approval is None:  # the policy lets it run, and that it may is recorded
            print(delete(what))
            return 0
        here = f"/v1/approvals/{approval['id']}"
        while approval["status"] == "pending":
            approval = http.get(here, params={"wait": "25"}).raise_for_status().json()
        if approval["status"] != "approved":
            print(http.get(f"{here}/refusal").json()["message"])
            return 1
        token = secrets.token_urlsafe()
        released = http.post(
            f"{here}/release", json={"release_token": token, "digest": approval["digest"]}
        ).raise_for_status()
        print(delete(released.json()["arguments"]["what"]))
        outcome = {"release_token": token, "status": "succeeded"}
        http.post(f"{here}/release/outcome", json=outcome).raise_for_status()
        return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
