"""The pages: who sees them, what they do, and that a running trial shows nothing of the truth."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from readerstudy.trials import actions, selectors, services
from readerstudy.trials.models import CaseTruth, Trial
from tests.conftest import PASSWORD

from . import world

ClientFor = Callable[..., Any]
VIEW = ("detail", "protocol", "history")
MANAGE = ("cases", "readers", "allocation")
POSTS = ("draw", "prepare", "protocol_upload", "add_member", "allocation", "readers")


def url(name: str, *args: Any) -> str:
    return reverse(f"trials:{name}", args=args)


class Form(HTMLParser):
    """Collects what a browser would send for the form with the given id."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.inside = self.template = False
        self.pairs: list[tuple[str, str]] = []
        self.select = self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        if tag == "template":
            self.template = True
        if not self.inside or self.template:
            return
        name = given.get("name") or ""
        if tag == "input":
            ticked = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            if ticked:
                self.pairs.append((name, given.get("value") or "on"))
        elif tag == "select":
            self.select = name
        elif tag == "option" and "selected" in given:
            self.pairs.append((self.select, given.get("value") or ""))
        elif tag == "textarea":
            self.textarea = name
            self.pairs.append((name, ""))

    def handle_data(self, data: str) -> None:
        if self.inside and self.textarea:
            name, text = self.pairs[-1]
            self.pairs[-1] = (name, text + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self.template = False
        if tag == "textarea" and self.textarea:
            name, text = self.pairs[-1]
            # A browser drops the first newline and sends CRLF.
            self.pairs[-1] = (name, text.removeprefix("\n").replace("\n", "\r\n"))
            self.textarea = ""
        if tag == "form":
            self.inside = False


def posted(page: Any, form_id: str = "protocol-form") -> dict[str, list[str]]:
    form = Form(form_id)
    form.feed(page.content.decode())
    data: dict[str, list[str]] = {}
    for name, value in form.pairs:
        data.setdefault(name, []).append(value)
    return data


def plain(text: str) -> str:
    """A page without what changes from one response to the next."""
    return re.sub(r'csrfmiddlewaretoken" value="\w+"|"X-CSRFToken": "\w+"', "", text)


# ------------------------------------------------------------------------------------- access
@pytest.mark.parametrize("state", world.STATES)
def test_A2_who_sees_which_page(
    state: str,
    coordinator: Any,
    other_coordinator: Any,
    researcher: Any,
    reader: Any,
    nobody: Any,
    client_for: ClientFor,
) -> None:
    trial = world.in_state(state, coordinator, reader)
    services.add_member(trial, email=researcher.email, role="researcher", actor=coordinator)
    services.create_trial(title="Other", actor=other_coordinator)
    # persona: (pages to view, pages to manage)
    expected = {
        coordinator: (200, 200),
        researcher: (200, 403),
        reader: (403, 403),
        other_coordinator: (404, 404),
        nobody: (404, 404),
    }
    for user, (view, manage) in expected.items():
        client = client_for(user)
        for name in VIEW:
            assert client.get(url(name, "liver")).status_code == view, (user, name)
        for name in MANAGE:
            assert client.get(url(name, "liver")).status_code == manage, (user, name)
        if user is not coordinator:
            for name in POSTS:
                response = client.post(url(name, "liver"))
                assert response.status_code == (manage if user is not researcher else 403), name
            for step in ("open", "pause", "resume", "close", "unblind"):
                assert client.post(url("transition", "liver", step)).status_code == manage
    anonymous = client_for()
    for name in (*VIEW, *MANAGE):
        response = anonymous.get(url(name, "liver"))
        assert response.status_code == 302
        assert "/accounts/login/" in response["Location"]
    assert Trial.objects.get(slug="liver").state == state


def test_A2_not_yours_looks_like_not_there(
    coordinator: Any, other_coordinator: Any, reader: Any, client_for: ClientFor
) -> None:
    world.opened(coordinator, reader)
    client = client_for(other_coordinator)
    pages = [
        ("detail",),
        ("protocol",),
        ("cases",),
        ("readers",),
        ("allocation",),
        ("history",),
        ("allocation_file",),
        ("truth_file",),
        ("protocol_file", 1),
        ("transition", "close"),
    ]
    for name, *rest in pages:
        there = client.get(url(name, "liver", *rest))
        nowhere = client.get(url(name, "nowhere", *rest))
        assert (there.status_code, nowhere.status_code) == (404, 404)
        assert plain(there.content.decode()) == plain(nowhere.content.decode())


def test_A3_posts_need_the_csrf_token(coordinator: Any, reader: Any, client_for: ClientFor) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    client = client_for(coordinator, csrf=True)
    candidate = trial.selections.first()
    assert candidate is not None
    targets = [
        *(url(name, "liver") for name in (*POSTS, "protocol")),
        url("new"),
        url("transition", "liver", "open"),
        url("remove_member", "liver", "R01"),
        url("restore_reader", "liver", "R01"),
        url("renew_invitation", "liver", "R01"),
        url("mark", "liver", candidate.candidate_id, "include"),
    ]
    for target in targets:
        assert client.post(target).status_code == 403, target


def test_A4_a_right_taken_away_ends_at_once(
    coordinator: Any, other_coordinator: Any, client_for: ClientFor
) -> None:
    trial = world.drafted(coordinator)
    member = services.add_member(
        trial, email=other_coordinator.email, role="coordinator", actor=coordinator
    )
    client = client_for(other_coordinator)
    assert client.get(url("cases", "liver")).status_code == 200
    services.remove(member, actor=coordinator)
    assert client.get(url("cases", "liver")).status_code == 404


def test_A5_get_writes_nothing(coordinator: Any, reader: Any, client_for: ClientFor) -> None:
    world.prepared(coordinator, readers=(reader,))
    client = client_for(coordinator)
    client.get("/")  # the session's first request may write the session
    for name in ("index", "new", "template"):
        assert not writes(client, url(name))
    for name in (*VIEW, *MANAGE, "allocation_file"):
        assert not writes(client, url(name, "liver")), name
    assert not writes(client, url("transition", "liver", "open"))


def writes(client: Any, address: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    verbs = ("INSERT", "UPDATE", "DELETE")
    return [query["sql"] for query in queries if query["sql"].startswith(verbs)]


def test_the_list_is_for_those_with_a_part(
    coordinator: Any, researcher: Any, reader: Any, nobody: Any, client_for: ClientFor
) -> None:
    world.opened(coordinator, reader)
    assert "Liver trial" in client_for(coordinator).get(url("index")).content.decode()
    page = client_for(researcher).get(url("index"))
    assert "Liver trial" not in page.content.decode()
    assert "You have no part in a trial yet" in page.content.decode()
    for user in (reader, nobody):
        assert client_for(user).get(url("index")).status_code == 403
        assert client_for(user).get(url("template")).status_code == 403
    assert client_for(researcher).get(url("new")).status_code == 403


# --------------------------------------------------------------------------------- no truth (T10)
PAGES_OF_A_RUNNING_TRIAL = (
    ("index",),
    ("detail", "liver"),
    ("protocol", "liver"),
    ("cases", "liver"),
    ("readers", "liver"),
    ("allocation", "liver"),
    ("history", "liver"),
    ("protocol_file", "liver", 1),
    ("transition", "liver", "close"),
    ("transition", "liver", "pause"),
    ("transition", "liver", "resume"),
    ("transition", "liver", "unblind"),
    ("allocation_file", "liver"),
    ("truth_file", "liver"),
)


def permute_truth(trial: Trial) -> None:
    """Every case the other arm, with all that goes with it."""
    for row in CaseTruth.objects.filter(case__trial=trial):
        synthetic = row.arm == "real"
        row.arm = "synthetic" if synthetic else "real"
        row.generator = "textural" if synthetic else "none"
        row.diameter_mm = row.diameter_mm + 7
        row.candidate = row.case_id
        row.save()


@pytest.mark.parametrize("state", ["open", "paused", "closed"])
def test_T10_no_page_of_a_running_trial_depends_on_the_truth(
    state: str,
    coordinator: Any,
    researcher: Any,
    reader: Any,
    peer_reader: Any,
    client_for: ClientFor,
) -> None:
    trial = world.in_state(state, coordinator, reader, peer_reader)
    services.add_member(trial, email=researcher.email, role="researcher", actor=coordinator)
    clients = [client_for(coordinator), client_for(researcher)]

    def everything() -> list[tuple[int, str]]:
        return [
            (response.status_code, plain(response.content.decode()))
            for client in clients
            for name, *rest in PAGES_OF_A_RUNNING_TRIAL
            for response in [client.get(url(name, *rest))]
        ]

    before = everything()
    permute_truth(trial)
    assert everything() == before
    # The comparison can fail: once the trial is unblinded, the pages do show the truth.
    Trial.objects.filter(pk=trial.pk).update(state="unblinded")
    shown = clients[0].get(url("cases", "liver")).content.decode()
    permute_truth(trial)
    assert clients[0].get(url("cases", "liver")).content.decode() != shown


def test_T10_no_query_of_a_running_trial_reads_the_truth_table(
    coordinator: Any, reader: Any, client_for: ClientFor
) -> None:
    world.opened(coordinator, reader)
    client = client_for(coordinator)
    for name, *rest in PAGES_OF_A_RUNNING_TRIAL:
        with CaptureQueriesContext(connection) as queries:
            client.get(url(name, *rest))
        text = " ".join(query["sql"] for query in queries)
        assert "trials_casetruth" not in text, name
        assert "cases_candidate" not in text, name
        assert "trials_selection" not in text, name


def test_no_order_is_shown_while_answers_come_in(
    coordinator: Any, reader: Any, client_for: ClientFor
) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    client = client_for(coordinator)
    draft = client.get(url("allocation_file", "liver"))
    assert draft.content.decode().splitlines()[0] == (
        "reader,position,phase,case,organ,size_band,repeat"
    )
    assert len(draft.content.decode().splitlines()) == 11
    tokens = trial.assignments.values_list("token", flat=True)
    assert not any(token in draft.content.decode() for token in tokens)
    trial = actions.open_trial(trial, actor=coordinator)
    for step in (None, actions.pause_trial, actions.close_trial):
        if step is not None:
            trial = step(trial, actor=coordinator)
        assert client.get(url("allocation_file", "liver")).status_code == 404
        assert b"Download (CSV)" not in client.get(url("allocation", "liver")).content


def test_D7_the_truth_file_and_salt_give_the_commitment(
    coordinator: Any, reader: Any, client_for: ClientFor
) -> None:
    trial = world.in_state("closed", coordinator, reader)
    client = client_for(coordinator)
    assert trial.truth_salt not in client.get(url("detail", "liver")).content.decode()
    actions.unblind_trial(
        trial, actor=coordinator, reason="The data are locked.", confirmation="liver"
    )
    page = client.get(url("detail", "liver")).content.decode()
    assert trial.truth_salt in page
    assert ">equal<" in page
    content = client.get(url("truth_file", "liver")).content
    digest = hashlib.sha256(trial.truth_salt.encode() + content).hexdigest()
    assert digest == trial.truth_commitment
    assert "Truth table downloaded" in client.get(url("history", "liver")).content.decode()


# --------------------------------------------------------------------------------- the protocol
def test_a_new_trial_starts_from_the_template(coordinator: Any, client_for: ClientFor) -> None:
    client = client_for(coordinator)
    response = client.post(url("new"), {"title": "Lung nodules"})
    assert response["Location"] == url("protocol", "lung-nodules")
    page = client.get(response["Location"])
    data = posted(page)
    assert data["title"] == ["Lung nodules"]
    assert "positive_class" not in data
    refused = client.post(url("protocol", "lung-nodules"), data)
    assert refused.status_code == 400
    assert "Choose which class counts as positive." in refused.content.decode()
    saved = client.post(url("protocol", "lung-nodules"), data | {"positive_class": ["real"]})
    assert saved.status_code == 302
    trial = Trial.objects.get(slug="lung-nodules")
    protocol = selectors.active_protocol(trial)
    assert protocol is not None
    assert protocol.positive_class == "real"
    assert protocol.design.cases == 60


def test_saving_the_form_untouched_changes_nothing(coordinator: Any, client_for: ClientFor) -> None:
    trial = world.drafted(coordinator)
    client = client_for(coordinator)
    data = posted(client.get(url("protocol", "liver")))
    page = client.post(url("protocol", "liver"), data, follow=True).content.decode()
    assert "Nothing had changed: version 1 is in force." in page
    assert trial.protocols.count() == 1


def change(data: dict[str, list[str]], name: str, index: int, value: str) -> dict[str, list[str]]:
    values = list(data[name])
    values[index] = value
    return data | {name: values}


@pytest.mark.parametrize(
    ("name", "index", "value", "sentence"),
    [
        ("endpoint__equivalence_margin", 0, "0.9", "This is “0.9”; it must be less than 0.5."),
        ("repeats__count", 0, "", "This is empty; give a whole number."),
        ("repeats__count", 0, "two", "Give a whole number."),
        ("question", 0, "", "This is empty; write something."),
        ("strata-real", 0, "many", "This is “many”; give a whole number."),
        (
            "strata-size_band",
            0,
            "huge",
            "Stratum liver, huge names no size band; use one of small,",
        ),
        ("bands-to_mm", 0, "0", "Ends at 0 mm, not above its start; raise to_mm."),
        ("windows-width", 1, "0", "This is “0.0”; it must be at least 1."),
        ("windows-name", 1, "Liver", "Two windows of one organ have the same name; rename one."),
        ("rating_labels__3", 0, "Definitely real", "Two ratings have the same label; rename one."),
        ("cues__tags", 0, "a\r\nA", "Lists a tag twice; remove one."),
        (
            "repeats__minimum_gap",
            0,
            "9",
            "Repeats: 1 repeats at least 9 positions apart do not fit",
        ),
    ],
)
def test_a_bad_field_gets_its_sentence_and_nothing_is_saved(
    name: str, index: int, value: str, sentence: str, coordinator: Any, client_for: ClientFor
) -> None:
    trial = world.drafted(coordinator)
    client = client_for(coordinator)
    data = posted(client.get(url("protocol", "liver")))
    response = client.post(url("protocol", "liver"), change(data, name, index, value))
    assert response.status_code == 400
    page = response.content.decode()
    assert sentence in page
    assert "Nothing is saved yet" in page
    assert trial.protocols.count() == 1
    # What was typed is still there.
    if value and name != "cues__tags":
        assert f'value="{value}"' in page


def test_rows_can_be_added_and_blank_rows_are_dropped(
    coordinator: Any, client_for: ClientFor
) -> None:
    trial = world.drafted(coordinator)
    client = client_for(coordinator)
    data = posted(client.get(url("protocol", "liver")))
    for column, value in (("organ", "lung"), ("size_band", "large"), ("real", "1"),
                          ("synthetic", "2")):  # fmt: skip
        data[f"strata-{column}"] += ["", value, " "]
    assert client.post(url("protocol", "liver"), data).status_code == 302
    protocol = selectors.active_protocol(Trial.objects.get(pk=trial.pk))
    assert protocol is not None
    assert protocol.design.organs == ("liver", "kidney", "lung")
    assert len(protocol.design.strata) == 3


def test_upload_and_download_round_trip(coordinator: Any, client_for: ClientFor) -> None:
    trial = world.drafted(coordinator)
    client = client_for(coordinator)
    file = client.get(url("protocol_file", "liver", 1))
    assert file["Content-Disposition"] == 'attachment; filename="liver-protocol-1.yaml"'
    content = file.content.replace(b"equivalence_margin: 0.1", b"equivalence_margin: 0.05")
    upload = SimpleUploadedFile("p.yaml", content)
    page = client.post(url("protocol_upload", "liver"), {"file": upload}, follow=True)
    assert "The file is in force as version 2." in page.content.decode()
    bad = SimpleUploadedFile("p.yaml", content.replace(b"question:", b"qestion:"))
    refused = client.post(url("protocol_upload", "liver"), {"file": bad})
    assert refused.status_code == 400
    assert "`qestion` is not a key of the protocol; did you mean `question`?" in (
        refused.content.decode()
    )
    assert trial.protocols.count() == 2
    assert client.get(url("protocol_file", "liver", 9)).status_code == 404
    made = client.post(
        url("new"), {"title": "From a file", "file": SimpleUploadedFile("p.yaml", content)}
    )
    assert made.status_code == 302
    assert Trial.objects.get(slug="from-a-file").active_protocol is not None


def test_the_template_file_can_be_uploaded(coordinator: Any, client_for: ClientFor) -> None:
    client = client_for(coordinator)
    content = client.get(url("template")).content
    made = client.post(url("new"), {"title": "T", "file": SimpleUploadedFile("t.yaml", content)})
    assert made.status_code == 302


def test_a_locked_protocol_says_so(coordinator: Any, reader: Any, client_for: ClientFor) -> None:
    world.opened(coordinator, reader)
    client = client_for(coordinator)
    page = client.get(url("protocol", "liver")).content.decode()
    assert "The protocol is locked since the trial opened" in page
    assert "protocol-form" not in page
    for name in ("protocol", "draw", "prepare", "allocation"):
        response = client.post(url(name, "liver"), {"title": "x"})
        assert response.status_code == 409
        assert "cannot be changed: the trial is locked" in response.content.decode()


# ----------------------------------------------------------------------------- the road by hand
def test_from_draft_to_unblinded_by_hand(
    coordinator: Any, client_for: ClientFor, run_jobs: Any
) -> None:
    rows = world.stock()
    world.drafted(coordinator)
    client = client_for(coordinator)
    client.post(url("mark", "liver", rows[0].pk, "exclude"), {"reason": "motion"})
    page = client.post(url("draw", "liver"), follow=True).content.decode()
    assert "9 cases are drawn; prepare them next." in page
    page = client.post(url("prepare", "liver"), follow=True).content.decode()
    assert "data-reload-on-job-end" in page
    run_jobs()
    assert "9 cases are prepared." in client.get(url("cases", "liver")).content.decode()
    page = client.post(
        url("readers", "liver"), {"email": "dora@example.org", "display_name": "Dora"}
    ).content.decode()
    link = re.search(r"http://testserver(/people/invitation/[\w-]{43}/)", page)
    assert link is not None
    assert "R01 is Dora" in page
    assert client_for().get(link[1]).status_code == 200
    # Shown once only.
    assert "/people/invitation/" not in client.get(url("readers", "liver")).content.decode()
    page = client.post(url("allocation", "liver"), follow=True).content.decode()
    assert "The orders are made and stored." in page
    for step, said in (
        ("open", "The trial is open"),
        ("pause", "The trial is paused"),
        ("resume", "The trial is open again"),
        ("close", "The trial is closed"),
    ):
        page = client.post(url("transition", "liver", step), follow=True).content.decode()
        assert said in page
    form = {"reason": "The data are locked.", "confirmation": "liver"}
    wrong = client.post(url("transition", "liver", "unblind"), form | {"password": "guess"})
    assert wrong.status_code == 400
    assert "This is not your password" in wrong.content.decode()
    assert Trial.objects.get(slug="liver").state == "closed"
    page = client.post(
        url("transition", "liver", "unblind"), form | {"password": PASSWORD}, follow=True
    ).content.decode()
    assert "The trial is unblinded" in page
    late = client.get(url("transition", "liver", "pause"))
    assert late.status_code == 409
    assert "The trial is unblinded, so it cannot be paused" in late.content.decode()
    assert client.get(url("transition", "liver", "explode")).status_code == 404


def test_people_by_hand(
    coordinator: Any, researcher: Any, reader: Any, peer_reader: Any, client_for: ClientFor
) -> None:
    trial = world.opened(coordinator, reader, peer_reader)
    client = client_for(coordinator)
    bad = client.post(url("readers", "liver"), {"email": "nonsense"})
    assert bad.status_code == 400
    assert "This is not an e-mail address; correct it." in bad.content.decode()
    twice = client.post(url("readers", "liver"), {"email": reader.email})
    assert "reads this trial already, as R01" in twice.content.decode()
    no_reason = client.post(url("remove_member", "liver", "R02"))
    assert no_reason.status_code == 400
    page = client.post(
        url("remove_member", "liver", "R02"), {"reason": "moved"}, follow=True
    ).content.decode()
    assert "R02 is removed; everything stored of them is kept." in page
    page = client.post(url("restore_reader", "liver", "R02"), follow=True).content.decode()
    assert "R02 reads again, from where they stopped." in page
    page = client.post(
        url("add_member", "liver"), {"email": researcher.email, "role": "researcher"}, follow=True
    ).content.decode()
    assert "Rita is now researcher." in page
    assert client.post(url("remove_member", "liver", "X99")).status_code == 404
    assert client.post(url("restore_reader", "liver", "S01")).status_code == 404
    assert trial.memberships.filter(valid_to__isnull=True).count() == 4


def test_S11_what_people_type_is_never_markup(coordinator: Any, client_for: ClientFor) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    world.stock()
    data = world.document(title=evil, question=evil, rating_labels=[f"<b>{n}" for n in range(6)])
    data["wording"] = dict.fromkeys(("prevalence", "instructions", "consent"), evil)
    trial = services.create_trial(
        title=evil, actor=coordinator, slug="liver", protocol=world.document() | data
    )
    services.add_reader(trial, email="d@example.org", actor=coordinator, display_name=evil)
    candidate = world.make_candidate("real")
    services.exclude(trial, candidate.pk, reason=evil, actor=coordinator)
    client = client_for(coordinator)
    for name in (*VIEW, *MANAGE):
        page = client.get(url(name, "liver")).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page


@pytest.mark.parametrize("name", ["index", "cases", "readers", "detail"])
def test_O7_more_rows_need_no_more_queries(
    name: str, coordinator: Any, reader: Any, client_for: ClientFor
) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    client = client_for(coordinator)
    args = () if name == "index" else ("liver",)
    client.get(url(name, *args))
    with CaptureQueriesContext(connection) as few:
        client.get(url(name, *args))
    for number in range(6):
        services.add_reader(trial, email=f"r{number}@example.org", actor=coordinator)
        services.create_trial(title="More", actor=coordinator)
        world.make_candidate("real")
    with CaptureQueriesContext(connection) as many:
        client.get(url(name, *args))
    assert len(many) == len(few)


def test_history_pages_and_filters(coordinator: Any, client_for: ClientFor) -> None:
    trial = world.drafted(coordinator)
    for number in range(55):
        services.save_protocol(trial, world.document(title=f"T{number}"), actor=coordinator)
    client = client_for(coordinator)
    first = client.get(url("history", "liver")).content.decode()
    assert first.count("Protocol saved") == 50
    second = client.get(url("history", "liver") + "?page=2").content.decode()
    assert second.count("Protocol saved") == 6
    for query in ("?room=reading", "?page=x", "?page=-1", "?page=99999999", "?room=%00"):
        assert client.get(url("history", "liver") + query).status_code == 200
    none = client.get(url("history", "liver") + "?room=reading").content.decode()
    assert "No event of this kind has been recorded." in none
