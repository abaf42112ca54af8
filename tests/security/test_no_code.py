"""What holds for every line of the farm: nothing it reads is run, and nothing it opens is open to others."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ancestra_farm

ROOT = Path(ancestra_farm.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

#: Modules that turn bytes into objects by running what the bytes say.
RUNNERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "runpy", "code"}
#: Who starts a program, and which: fixed words each, never a line for a shell.
STARTERS = {"ledger/probe.py", "cli/doctor.py", "cli/background.py", "cli/dash.py", "farm/notify.py"}


@cache
def tree_of(path: Path) -> list[ast.AST]:
    """Every node of a file's syntax."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call in the package: its file, itself, and what is called, as far as it is a name."""
    for path in FILES:
        for node in tree_of(path):
            if isinstance(node, ast.Call):
                yield path, node, name_of(node.func)


def name_of(called: ast.expr) -> str:
    """``os.system``; of anything but names and their attributes, what follows the last of it."""
    if isinstance(called, ast.Attribute):
        return f"{name_of(called.value)}.{called.attr}"
    return called.id if isinstance(called, ast.Name) else ""


def told(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def keywords(node: ast.Call) -> dict[str, str]:
    return {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg is not None}


def test_nothing_is_unpickled() -> None:
    found = []
    for path in FILES:
        for node in tree_of(path):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{told(path, node)} imports {name}" for name in names if name.partition(".")[0] in RUNNERS]
    assert found == []


def test_no_text_is_run() -> None:
    words = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
    words |= {"yaml.full_load", "pd.read_pickle", "pandas.read_pickle", "builtins.eval", "builtins.exec"}
    assert [f"{told(path, node)} {name}" for path, node, name in calls() if name in words] == []


def test_tensors_are_read_as_tensors_and_models_without_their_code() -> None:
    found = []
    for path, node, name in calls():
        said = keywords(node)
        if name == "torch.load" and said.get("weights_only") != "True":
            found.append(f"{told(path, node)} torch.load without weights_only=True")
        if said.get("trust_remote_code", "False") != "False":
            found.append(f"{told(path, node)} trusts remote code")
        if said.get("allow_pickle", "False") != "False":
            found.append(f"{told(path, node)} reads arrays that can be pickles")
        if name.endswith(".from_pretrained") and "use_safetensors" in said and said["use_safetensors"] != "True":
            found.append(f"{told(path, node)} reads weights that can be pickles")
    assert found == []


def test_programs_are_started_in_few_places_and_never_through_a_shell() -> None:
    found, starters = [], set()
    for path, node, name in calls():
        if name.startswith("subprocess.") or name in {"os.execv", "os.execvp", "os.spawnv", "os.posix_spawn"}:
            starters.add(path.relative_to(ROOT).as_posix())
            if isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp):
                found.append(f"{told(path, node)} starts a line instead of words")
        if keywords(node).get("shell", "False") != "False":
            found.append(f"{told(path, node)} uses a shell")
    assert found == []
    assert starters <= STARTERS, "name it in STARTERS, with fixed words, or do without"


def test_no_template_of_pythons_own_is_filled_with_what_people_write() -> None:
    """``str.format`` reaches attributes; f-strings and `batch.prompts.fill` do not."""
    words_of_ours = {"models/looks/dataset.py", "batch/sentences.py"}  # sentences of tables beside them
    found = {
        path.relative_to(ROOT).as_posix()
        for path, node, name in calls()
        if name.endswith((".format_map", "string.Formatter"))
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "format" and not is_constant(node.func.value))
    }
    assert found <= words_of_ours


def is_constant(template: ast.expr) -> bool:
    return isinstance(template, ast.Constant) or (isinstance(template, ast.Name) and template.id.strip("_").isupper())


def test_nothing_listens_to_everybody_unless_it_is_told_to() -> None:
    everybody = {"0.0.0.0", "[::]", "[::]:0", "0.0.0.0:0"}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for node in tree_of(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in everybody
    }
    assert found <= {"api/server.py"}, "there it is compared with what was given"


def test_only_what_is_pinned_goes_unvouched_for() -> None:
    """TLS without an authority is TLS with whoever answers, but for the door's own certificate."""
    found = []
    for path, node, name in calls():
        said = keywords(node)
        unvouched = (
            said.get("cert_reqs", "").strip("'\"") in {"CERT_NONE", "ssl.CERT_NONE"} or said.get("verify") == "False"
        )
        if unvouched and "assert_fingerprint" not in said:
            found.append(f"{told(path, node)} {name}")
    assert found == []


@pytest.mark.parametrize(
    "word", ["_create_unverified_context", "disable_warnings", "DEFAULT_CIPHERS", "check_hostname = False"]
)
def test_no_check_of_certificates_is_switched_off(word: str) -> None:
    assert [path for path in FILES if word in path.read_text(encoding="utf-8")] == []
