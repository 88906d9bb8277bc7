"""Keeps the repository readable: short files and functions, a short README, links that lead somewhere."""

import ast
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

LONGEST_FILE, LONGEST_FUNCTION, MOST_WORDS, MOST_LINES = 350, 60, 900, 130
LONG_FOR_A_REASON = "long because"  # in the docstring of a function that is longer all the same
MODULES = sorted(path for folder in ("rlready", "components", "pipelines") for path in (ROOT / folder).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "manifests/README.md"])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            said = ast.get_docstring(node) or ""
            body = node.end_lineno - node.lineno + 1 - len(said.splitlines())
            assert body <= LONGEST_FUNCTION or LONG_FOR_A_REASON in said, f"{node.name}: {body} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_is_multiplied_by_a_truth_value(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            texts = [side for side in (node.left, node.right) if isinstance(side, ast.JoinedStr) or _is_text(side)]
            assert not [text for text in texts if re.search(r"[a-z]{2}", ast.unparse(text)[1:])], f"line {node.lineno}"


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_the_first_page_is_two_screens():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert len(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).split()) <= MOST_WORDS


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target, section in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
            if not re.match(r"https?://|mailto:", target):
                path = page.parent / target if target else page
                assert path.exists(), f"{page.relative_to(ROOT)}: {target}"
                assert not section or section in list_sections(path), f"{page.relative_to(ROOT)}: {target}#{section}"


def list_sections(page: Path) -> list[str]:
    """Returns the anchors of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), flags=re.M)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_no_two_classes_have_one_name():
    found = [
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(found) == sorted(set(found))


def test_no_page_or_module_names_a_path_of_one_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    texts = [ROOT / name for name in tracked if name.endswith((".py", ".md", ".yaml", ".toml", ".sh"))]
    for path in texts:
        assert not re.search(r"(^|[\s\"'(=])/(work|root|farm)/", path.read_text(), flags=re.M), path


def test_the_generated_pages_are_those_that_their_declarations_make():
    for path, text in runpy.run_path(str(ROOT / "docs" / "pages.py"))["write_pages"]().items():
        assert (ROOT / path).read_text() == text, "run make docs"


def test_every_answer_to_where_something_is_decided_exists():
    rows = re.findall(r"^\| \d+ \|.*\|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M)
    assert len(rows) >= 20
    for row in rows:
        places = re.findall(r"`([^`\s]+)`", row.rsplit("|", 2)[1])
        assert places, row
        for place in places:
            assert (ROOT / place).exists(), row
