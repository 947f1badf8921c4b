"""docs/live-probe.md lists every question of `make smoke`, in the words of its test."""

import ast
import re

from local.host.processes import REPOSITORY


def test_document_lists_the_questions_of_the_tests():
    tests = {}
    for path in (REPOSITORY / "tests/live").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                tests[node.name] = ast.get_docstring(node)
    document = (REPOSITORY / "docs/live-probe.md").read_text()
    listed = {
        test: question for question, test in re.findall(r"^\| (.*?) \| `(test_\w+)` \|", document, re.M)
    }
    assert listed.keys() == tests.keys()
    asked = {test: listed[test].replace("`", "") for test in tests}
    assert [
        test
        for test, question in tests.items()
        if not question.replace("`", "").startswith(asked[test].rstrip("?"))
    ] == []
