"""T-rows: nothing a reader's browser gets depends on what a case is.

The heart of it is a tour: one whole session from the instructions to the last page, every reader
route on the way, refusals included, written down byte for byte. It is taken twice, the second time
with every truth turned round.
"""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from readerstudy.audit.models import AuditEvent
from readerstudy.reading import frames, worklist
from readerstudy.reading.frames import grants
from readerstudy.trials.models import CaseTruth, Membership
from tests.conftest import ROOT
from tests.reading.tour import Seen, Tour, seen
from tests.reading.world import ARMS, FRAMES, Desk, World, build

pytestmark = pytest.mark.django_db
FLIPPED = {"real": "synthetic", "synthetic": "real"}
READER_ROUTES = {
    "reading:enter", "reading:instructions", "reading:consent", "reading:case",
    "reading:practice_done", "reading:break", "reading:go_on", "reading:pause", "reading:done",
    "reading:frame", "api:worklist", "api:draft", "api:judgments", "home",
}  # fmt: skip


@pytest.fixture
def small(reader, viewer_dist, monkeypatch) -> World:
    """Six cases of equal pixels, two of them practice, with a break in between."""
    noon = 1_800_000_000 - 1_800_000_000 % 900
    monkeypatch.setattr(frames.time, "time", lambda: noon)
    sessions = {"cases_per_session": 2, "break_minutes": 10, "minutes_per_case": 3}
    return build([reader], sessions=sessions)


@pytest.fixture
def both_tours(small, reader, client_for) -> Callable[[], tuple[list[Seen], list[Seen]]]:
    """The tour of a world and of the same world with every truth turned round."""

    def take() -> tuple[list[Seen], list[Seen]]:
        logs = []
        arms = [ARMS[index % 2] for index in range(len(small.cases))]
        for truth in (arms, [FLIPPED[arm] for arm in arms]):
            grants.clear()
            before = transaction.savepoint()
            small.set_truth(truth)
            logs.append(Tour(client_for(reader)).take(small))
            transaction.savepoint_rollback(before)
        return logs[0], logs[1]

    return take


def differences(first: list[Seen], second: list[Seen]) -> list[str]:
    assert [one.asked for one in first] == [one.asked for one in second]
    return [one.asked for one, other in zip(first, second) if one != other]


def test_T1_the_whole_session_is_equal_byte_for_byte_under_the_opposite_truth(both_tours):
    first, second = both_tours()
    assert len(first) > 150
    assert {200, 302, 400, 403, 404, 409, 422, 425} <= {one.status for one in first}
    assert differences(first, second) == []


def test_T1_the_tour_visits_every_reader_route(small, reader, client_for):
    tour = Tour(client_for(reader))
    tour.take(small)
    assert tour.names == READER_ROUTES
    resolver = get_resolver()
    mine = {f"reading:{name}" for name in resolver.namespace_dict["reading"][1].reverse_dict
            if isinstance(name, str)}  # fmt: skip
    assert mine - {"reading:progress"} <= READER_ROUTES, "a new reader route is not in the tour"


class TestPlantedLeaks:
    """A test that has never failed proves nothing: each of these must be caught."""

    def truth(self, assignment: Any) -> str:
        return CaseTruth.objects.get(case=assignment.case).arm

    def test_T7_in_the_json(self, both_tours, monkeypatch):
        honest = worklist._case

        def leaky(place, assignment, position):
            case = honest(place, assignment, position)
            if case and self.truth(assignment) == "synthetic":
                case["startSlice"] += 1
            return case

        monkeypatch.setattr(worklist, "_case", leaky)
        assert differences(*both_tours())

    def test_T7_in_a_header_of_the_frames(self, both_tours, monkeypatch):
        honest = frames._ask_database

        def leaky(session_key, token):
            from readerstudy.trials.models import Assignment

            grant = honest(session_key, token)
            arm = self.truth(Assignment.objects.get(token=token)) if grant else ""
            late = 3600 if arm == "synthetic" else 7200
            monkeypatch.setattr(frames, "CACHE_CONTROL", f"private, max-age={late}, immutable")
            return grant

        monkeypatch.setattr(frames, "_ask_database", leaky)
        caught = differences(*both_tours())
        assert caught and all("/frames/" in asked for asked in caught)

    def test_T7_in_the_size_of_the_frames(self, both_tours, monkeypatch):
        honest = frames.read_frame
        synthetic = lambda rendition: CaseTruth.objects.filter(  # noqa: E731
            case__rendition_id=rendition, arm="synthetic"
        ).exists()
        monkeypatch.setattr(
            frames, "read_frame", lambda r, k: honest(r, k) + (b"\0" if synthetic(r) else b"")
        )
        assert differences(*both_tours())


def test_T1_two_cases_of_equal_pixels_look_the_same_in_one_session(small, reader, client_for):
    """Within one session: real and synthetic twins differ by token and position alone."""
    tour = Tour(client_for(reader))
    tour.take(small)
    cases, scans = {}, {}
    for one in tour.log:
        if one.asked == f"get {tour.desk.api}/worklist" and b'"current": {' in one.body:
            case = json.loads(one.body)["current"]
            cases[case.pop("token")] = case
        if found := re.match(r"get /api/reading/frames/([\w-]+):[^/]+/(\d+)$", one.asked):
            scans.setdefault(found[1], {})[int(found[2])] = (one.status, one.headers, one.body)
    assert len(cases) == 6 and set(scans) == set(cases)
    for case in cases.values():
        case["frames"].pop("url"), case.pop("position"), case.pop("total"), case.pop("phase")
    arms = {assignment.token: assignment.case.truth.arm for assignment in small.assignments(reader)}
    for parts in (cases, scans):
        by_arm = {arm: [parts[token] for token in arms if arms[token] == arm] for arm in ARMS}
        assert by_arm["real"] == by_arm["synthetic"]


FORBIDDEN = re.compile(
    rb"synth|\breal\b|fake|generat|truth|textural|freetumor|candidate|provenance|\barms?\b|"
    rb"inpaint|\bgan\b|lidc|totalsegmentator|4d-?lung|cptac|crlm|\bvolume[-_ ]?id|patient|"
    rb"rendition|pydicom|monai|size_band",
    re.IGNORECASE,
)


def words_of_the_protocol(world: World) -> list[bytes]:
    """Exact texts that the protocol puts before readers: the same for every case."""
    from django.utils.html import escape

    document = world.trial.active_protocol.document
    texts = [
        document["question"],
        document["title"],
        *document["rating_labels"],
        *document["cues"]["tags"],
    ]
    for text in document["wording"].values():
        texts += [part.strip() for part in text.split("\n\n")]
    return sorted((escape(text).encode() for text in texts), key=len, reverse=True)


def test_T2_no_forbidden_word_reaches_a_reader(small, reader, client_for):
    allowed = words_of_the_protocol(small)
    hits = set()
    for one in Tour(client_for(reader)).take(small):
        if one.headers and ("Content-Type", frames.CONTENT_TYPE) in one.headers:
            text = b""
        else:
            text = one.body
            for words in allowed:
                text = text.replace(words, b"")
        head = " ".join(f"{name}: {value}" for name, value in one.headers)
        text += one.asked.encode() + head.encode()
        hits |= {(one.asked, found[0]) for found in FORBIDDEN.finditer(text)}
    assert hits == set()


def test_T2_no_cookie_of_a_reader_tells_more_than_the_sign_in(small, reader, client_for):
    client = client_for(reader)
    Tour(client).take(small)
    assert set(client.cookies) <= {"sessionid", "csrftoken", "messages"}


def static_files(log: list[Seen]) -> list[Path]:
    """The scripts and styles that the pages of a tour link, with all chunks of the viewer."""
    linked = {
        found.decode() for one in log for found in re.findall(rb'"/static/([^"]+)"', one.body)
    }
    site, dist = ROOT / "static" / "site", ROOT / "static" / "viewer" / "dist"
    files = {site / name for name in linked if not name.startswith("viewer/")}
    return sorted(
        files | set((dist / "assets").glob("*.js")) | set((dist / "assets").glob("*.css"))
    )


def test_T2_no_script_or_style_of_a_reader_page_knows_the_arms(small, reader, client_for):
    """The built viewer names the answers in its defaults and nothing that could tell a case."""
    # The answers, and what the DICOM dictionary and Cornerstone's metadata say for themselves.
    harmless = re.compile(
        rb"(definitely|probably|possibly) (real|synthetic)|is the marked tumor real or synthetic\?|"
        rb"SyntheticData|(a|or) synthetic attribute",
        re.IGNORECASE,
    )
    told = re.compile(
        rb"synthetic|textural|freetumor|casetruth|provenance|lidc-|totalsegmentator|\bis_?real\b|"
        rb"ground_?truth|candidate_id",
        re.IGNORECASE,
    )
    files = static_files(Tour(client_for(reader)).take(small))
    assert {"site.css", "site.js", "reading.css"} <= {path.name for path in files}
    hits = {(path.name, found[0]) for path in files
            for found in told.finditer(harmless.sub(b"", path.read_bytes()))}  # fmt: skip
    assert hits == set()


SECRET = {"Candidate", "CaseTruth", "SynthesisRun", "Selection"}
# Where the secret tables are defined; importing these modules is not reading the tables.
DEFINED_IN = {"readerstudy.cases.models", "readerstudy.trials.models"}


def modules_from(start: list[str]) -> dict[str, ast.Module]:
    """All modules of ours that importing `start` loads, parsed."""
    found: dict[str, ast.Module] = {}
    queue = list(start)
    while queue:
        name = queue.pop()
        path = ROOT / Path(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not name.startswith("readerstudy") or not file.exists():
            continue
        found[name] = tree = ast.parse(file.read_text())
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                queue += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = node.module or ""
                full = ".".join([*base, module] if module else base) if node.level else module
                queue += [full, *(f"{full}.{alias.name}" for alias in node.names)]
    return found


def reader_modules() -> dict[str, ast.Module]:
    routes = ["readerstudy.reading.api", "readerstudy.reading.views", "readerstudy.reading.frames"]
    return modules_from(routes)


def test_T3_no_module_behind_a_reader_route_names_a_table_that_knows():
    modules = reader_modules()
    assert {"readerstudy.reading.services", "readerstudy.cases.frames"} <= set(modules)
    named = set()
    for name, tree in modules.items():
        if name in DEFINED_IN:
            continue
        for node in ast.walk(tree):
            word = ""
            if isinstance(node, ast.alias):
                word = node.name
            elif isinstance(node, ast.Name):
                word = node.id
            elif isinstance(node, ast.Attribute):
                word = node.attr
            elif isinstance(node, ast.keyword):
                word = node.arg or ""
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                # A lookup such as "case__truth__arm", a relation, a table: no prose.
                word = node.value if re.fullmatch(r"[\w.]+", node.value) else ""
            if word in SECRET or re.search(r"(^|__)truth(__|$)|casetruth|_candidate", word):
                named.add((name, word))
    assert named == set()


def test_T3_the_scan_finds_what_it_looks_for():
    trees = modules_from(["readerstudy.trials.services"])
    assert any(
        isinstance(node, ast.alias) and node.name == "CaseTruth"
        for tree in trees.values()
        for node in ast.walk(tree)
    )


def test_T4_no_query_of_a_reader_touches_a_table_that_knows(small, reader, client_for):
    tour = Tour(client_for(reader))
    with CaptureQueriesContext(connection) as queries:
        tour.take(small)
    tables = {
        match
        for query in queries
        for match in re.findall(r'"((?:trials|cases|library|synthesis)_\w+)"', query["sql"])
    }
    assert {"trials_case", "cases_rendition"} <= tables
    assert tables <= {
        "trials_assignment", "trials_case", "trials_membership", "trials_protocolversion",
        "trials_trial", "cases_rendition",
    }  # fmt: skip


def test_T8_every_frame_has_the_same_length_and_no_validator(small, reader, client_for):
    log = Tour(client_for(reader)).take(small)
    headers = [dict(one.headers) for one in log if "/frames/" in one.asked and one.status == 200]
    assert len(headers) > 50
    assert len({tuple(sorted(found.items())) for found in headers}) == 1
    for one in log:
        assert not {"ETag", "Last-Modified", "Server-Timing"} & {name for name, _ in one.headers}


def test_T8_frames_of_both_arms_take_the_same_time(small, reader, client_for):
    """Wide bounds: a machine has moods. What would show is a case that is made on the spot."""
    desk = Desk(client_for(reader))
    desk.consent()
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    urls = {}
    state = desk.worklist()
    for key, assignment in zip(("current", "ahead"), small.assignments(reader)):
        urls[assignment.case.truth.arm] = state[key]["frames"]["url"]
    for round_ in range(120):
        for arm in sorted(ARMS, reverse=bool(round_ % 2)):
            start = time.perf_counter()
            desk.client.get(f"{urls[arm]}{round_ % FRAMES}")
            times[arm].append(time.perf_counter() - start)
    ratio = median(times["real"]) / median(times["synthetic"])
    assert 0.6 < ratio < 1.6


def test_T13_a_case_whose_files_are_gone_fails_in_the_same_words(
    small, reader, client_for, data_dir
):
    desk = Desk(client_for(reader))
    desk.consent()
    state = desk.worklist()
    for path in (data_dir / "renditions").glob("*/frames.bin"):
        path.unlink()
    first, second = (
        desk.client.get(state[key]["frames"]["url"] + "0") for key in ("current", "ahead")
    )
    assert first.status_code == second.status_code == 503
    assert first.content == second.content and dict(first.headers) == dict(second.headers)


class TestCoordinator:
    def progress(self, client: Any) -> Seen:
        # "3 minutes ago" is about the clock, not about the truth.
        page = seen("", client.get("/trials/liver/progress/"))
        return Seen("", page.status, page.headers, re.sub(rb"<time.*?</time>", b"", page.body))

    def test_T10_the_progress_page_is_equal_byte_for_byte_under_permuted_truth(
        self, world, desk, coordinator, client_for
    ):
        desk.read_practice()
        for rating in (1, 6):
            desk.answer(rating)
        client = client_for(coordinator)
        pages = []
        for shift in range(2):
            world.set_truth([ARMS[(index + shift) % 2] for index in range(len(world.cases))])
            pages.append(self.progress(client))
        assert pages[0].status == 200 and b"2 of 4" in pages[0].body
        assert pages[0] == pages[1]

    def test_T10_the_progress_page_asks_no_table_that_knows(
        self, world, desk, coordinator, client_for
    ):
        desk.answer()
        client = client_for(coordinator)
        with CaptureQueriesContext(connection) as queries:
            client.get("/trials/liver/progress/")
        for query in queries:
            assert not re.search("casetruth|candidate|synthesisrun|selection", query["sql"])

    def test_T12_what_reading_writes_into_the_log_has_no_truth_and_no_answer(self, world, desk):
        desk.read_practice()
        desk.answer(6)
        events = AuditEvent.objects.filter(action__startswith="reading.")
        assert {event.action for event in events} == {
            "reading.consented", "reading.served", "reading.judged", "reading.went_on",
        }  # fmt: skip
        for event in events:
            assert set(event.data) <= {
                "reader", "text_sha256", "phase", "position", "times", "flags", "answer_sha256",
                "served", "after",
            }  # fmt: skip
            assert not re.search("synthetic|real|rating", json.dumps(event.data))

    def test_L9_the_log_names_readers_by_their_code(self, world, desk, reader):
        desk.answer()
        text = json.dumps([event.data for event in AuditEvent.objects.all()])
        assert "R01" in text and reader.email not in text and reader.display_name not in text

    def test_only_staff_of_the_trial_watches_it(
        self, world, reader, coordinator, other_coordinator, nobody, researcher, client_for
    ):
        Membership.objects.create(trial=world.trial, user=researcher, role="researcher", code="S01")
        expected = {
            reader: 403,
            coordinator: 200,
            other_coordinator: 404,
            nobody: 404,
            researcher: 200,
        }
        for user, status in expected.items():
            assert client_for(user).get("/trials/liver/progress/").status_code == status
