"""What a click does: the same use cases as everywhere, said back to the one who clicked."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.channels.slack.blocks import APPROVE, DENY, DETAILS, TRY, escape, message, sample
from approvals.channels.slack.interactions import DENIAL, read
from approvals.channels.slack.send import show
from approvals.channels.slack.views import denial, details
from approvals.domain.card import span
from approvals.domain.directory import Assurance, title
from approvals.domain.rights import why_not
from approvals.domain.states import Answer
from approvals.errors import AlreadyDecided, ApprovalsError, AssuranceTooLow, Undetermined
from approvals.ports.telling import NotTold
from approvals.service.approvals import Answering
from approvals.service.identity import PersonPrincipal
from approvals.service.telling import draw

if TYPE_CHECKING:
    from approvals.channels.slack.api import SlackApi
    from approvals.channels.slack.interactions import Interaction
    from approvals.domain.directory import Person
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock, Store
    from approvals.ports.telling import Drawn, Outbox
    from approvals.service.approvals import Approvals
    from approvals.service.journal import Journal
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

CHANNEL = "slack"
"""As a decision names it."""
ACKNOWLEDGE = 2.0
"""Seconds after which a click is acknowledged, done or not: Slack waits for three."""
UNKNOWN = "It is not known whether this was recorded. Look at the card, or at the page of the call."


class NotOurs(Exception):
    """The click is of another app or another workspace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What clicks need of the service."""

    store: Store
    approvals: Approvals
    outbox: Outbox
    journal: Journal
    rules: Rules
    clock: Clock


class Clicks:
    """Takes every interaction, however it came."""

    def __init__(self, api: SlackApi, app_id: str, use: Use) -> None:
        self._api = api
        self._app = app_id
        self._use = use
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, payload: Json, *, over: str) -> None:
        """Do what was clicked; returns when it is done, or early enough to acknowledge it.

        `over` says for a sample how it came. Raises Malformed and NotOurs, and then nothing is
        done; NotTold while it cannot be known which workspace is ours.
        """
        interaction = read(payload)
        if interaction is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + ACKNOWLEDGE
        async with asyncio.timeout_at(until):
            team = await self._api.team()
        if (interaction.team, interaction.app) != (team, self._app):
            await self._note(interaction, "another_workspace_or_app", of_ours=False)
            raise NotOurs
        task = asyncio.create_task(self._do(interaction, over))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=max(0.0, until - loop.time()))

    async def stop(self) -> None:
        """Let what was clicked be done."""
        if self._running:
            await asyncio.wait(self._running, timeout=10)

    async def _do(self, interaction: Interaction, over: str) -> None:
        try:
            if interaction.action == TRY:
                await self._tried(interaction, over)
            elif interaction.action in {APPROVE, DENY, DETAILS, DENIAL}:
                await self._answered(interaction)
        except NotTold as error:
            logger.warning("Slack could not be told of a click: %s", error.why)
            await self._say(interaction, "Slack did not open this. Press again, or use the page.")
        except Exception:
            logger.exception("a click in Slack could not be taken")
            await self._say(interaction, UNKNOWN)

    async def _answered(self, interaction: Interaction) -> None:
        person = self._use.rules.current.directory.by_slack(interaction.member)
        if person is None:
            await self._stranger(interaction)
        else:
            try:
                await self._act(interaction, _principal(person))
            except ApprovalsError as error:
                await self._say(interaction, await self._sentence(error, interaction))
                await self._note(interaction, error.code)
        await self._adopt(interaction)

    async def _act(self, interaction: Interaction, by: PersonPrincipal) -> None:
        approval_id, digest = interaction.about
        match interaction.action:
            case _ if interaction.action == APPROVE:
                await self._check_whole(by, approval_id)
                await self._decide(by, approval_id, Answer.APPROVE, digest, None)
            case _ if interaction.action == DENIAL:
                answer = Answer.DENY
                await self._decide(by, approval_id, answer, digest, interaction.reason)
            case _ if interaction.action == DENY:
                await self._ask_why(interaction, by)
            case _:
                await self._show_details(interaction, by)

    async def _decide(
        self, by: PersonPrincipal, approval_id: str, answer: Answer, digest: str, why: str | None
    ) -> None:
        answering = Answering(answer=answer, digest=digest, reason=why, channel=CHANNEL)
        await self._use.approvals.decide(by, approval_id, answering)

    async def _check_whole(self, by: PersonPrincipal, approval_id: str) -> None:
        """Raises AssuranceTooLow for a call that does not fit whole on its card (promise 6)."""
        drawn = await self._drawn(by, approval_id)
        if drawn.approvable and not message(drawn).approves:
            raise AssuranceTooLow(f"This call is too large to be approved here. {_where(drawn)}")

    async def _ask_why(self, interaction: Interaction, by: PersonPrincipal) -> None:
        approval_id, _ = interaction.about
        drawn = await self._drawn(by, approval_id)
        directory = self._use.rules.current.directory
        error = why_not(by.name, by.assurance, drawn.approval, directory, answer=Answer.DENY)
        if error is not None:
            raise error
        if interaction.place is not None:
            view = denial(interaction.value, interaction.place)
            await self._api.call("views.open", trigger_id=interaction.trigger, view=view)

    async def _show_details(self, interaction: Interaction, by: PersonPrincipal) -> None:
        approval_id, _ = interaction.about
        view = details(await self._drawn(by, approval_id), self._use.rules.current.zone)
        await self._api.call("views.open", trigger_id=interaction.trigger, view=view)

    async def _drawn(self, by: PersonPrincipal, approval_id: str) -> Drawn:
        approval = await self._use.approvals.get(by, approval_id)
        return draw(approval, self._use.rules.current, now=self._use.clock.now())

    async def _stranger(self, interaction: Interaction) -> None:
        await self._note(interaction, "unknown_member")
        await self._say(
            interaction,
            "You are not among the people who may decide on this call. An admin adds your Slack "
            f"member id {interaction.member} to `people` of approvals.yaml.",
        )

    async def _note(self, interaction: Interaction, why: str, *, of_ours: bool = True) -> None:
        """`of_ours`: the member id is one of our workspace, so that it may name a person."""
        approval_id, _ = interaction.about
        known = self._use.rules.current.directory.by_slack(interaction.member) if of_ours else None
        actor = f"person:{known.name}" if known else f"slack:{interaction.member[:30]}"
        detail: dict[str, Json] = {
            "approval": approval_id[:100],
            "action": interaction.action[:100],
            "why": why,
        }
        try:
            await self._use.journal.note("click_refused", actor, detail)
        except ApprovalsError:
            logger.exception("a refused click could not be recorded: %s by %s", why, actor)

    async def _adopt(self, interaction: Interaction) -> None:
        """A message that we did not know of is kept, so that it too shows how the call ends."""
        try:
            await self._keep_message(interaction)
        except ApprovalsError:
            logger.exception("the message of a click could not be kept")

    async def _keep_message(self, interaction: Interaction) -> None:
        approval_id, _ = interaction.about
        approval = await self._use.store.approval(approval_id)
        place = interaction.place
        if approval is None or place is None:
            return
        channels = [name for name in approval.channels if name.startswith("slack:")]
        named = [name for name in channels if name == f"slack:#{place.name}"]
        for channel in (named or channels)[:1]:
            known = await self._use.outbox.messages(approval_id, channel)
            if place.receipt not in known:
                await self._use.outbox.adopt(approval_id, channel, place.receipt)

    async def _sentence(self, error: ApprovalsError, interaction: Interaction) -> str:
        """Losing a race is news: who was faster, and by how much."""
        if isinstance(error, Undetermined):
            return UNKNOWN
        if not isinstance(error, AlreadyDecided):
            return str(error)
        approval_id, _ = interaction.about
        approval = await self._use.store.approval(approval_id)
        if approval is None or not approval.decisions:
            return str(error)
        last = approval.decisions[-1]
        did = "approved" if last.answer is Answer.APPROVE else "denied"
        ago = span(self._use.clock.now() - last.at)
        return f"{title(last.person)} {did} this {ago} before you."

    async def _tried(self, interaction: Interaction, over: str) -> None:
        """Say on the sample which checks this click has passed."""
        known = self._use.rules.current.directory.by_slack(interaction.member)
        who = (
            f"you are {title(known.name)} ({', '.join(sorted(known.roles))})"
            if known
            else f"nobody in approvals.yaml has the Slack member id {interaction.member}"
        )
        lines = (
            f"the click came {over}",
            f"workspace {interaction.team} and app {interaction.app} are ours",
            who,
        )
        if interaction.place is not None:
            await show(self._api, interaction.place.receipt, sample(lines, button=False))

    async def _say(self, interaction: Interaction, text: str) -> None:
        """To the one who clicked, and nobody else."""
        if interaction.place is None:
            return
        try:
            await self._api.call(
                "chat.postEphemeral",
                channel=interaction.place.channel,
                user=interaction.member,
                text=escape(text),
            )
        except NotTold as error:
            logger.warning("Slack did not take an answer to a click: %s", error.why)


def _principal(person: Person) -> PersonPrincipal:
    return PersonPrincipal(name=person.name, roles=person.roles, assurance=Assurance.SLACK)


def _where(drawn: Drawn) -> str:
    return f"Review it: {drawn.page}" if drawn.page else "Review it on its page."
