"""The house rules that a machine can check: floors, no circles, lazy imports, nothing unsafe."""

import ast
import graphlib
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import textgan

ROOT = Path(textgan.__file__).parent
MODULES = {
    ".".join(("textgan", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# A module may import from its own floor and below. Packages stand on one floor as a whole.
FLOORS = {
    1: "autoload checkpoints discriminators errors generators grammar graphs machine manifest metrics models "
    "objectives oracle processes readable recurrent sequences sources text windows",
    2: "augmentation comparisons controls estimators evaluation lm updates",
    3: "adoption audits batches constraining experiment filling judges labels laboratory loop opponents papers pools "
    "progress prompts quickstart recipes report runs selection selftest settings state sweeps training trl verdicts "
    "watch",
    4: "__main__ cli cli_audit cli_commands cli_compare cli_experiment cli_lm cli_options cli_pool cli_rate cli_train "
    "cli_usage",
}
FLOOR_OF = {f"textgan.{name}": floor for floor, names in FLOORS.items() for name in names.split()}
HEAVY = {"accelerate", "matplotlib", "nltk", "numpy", "scipy", "tokenizers", "torch", "transformers"}
UNSAFE_MODULES = {"dill", "cloudpickle", "joblib", "marshal", "pickle", "shelve"}
ALLOWED = {"textgan.experiment": {"joblib"}}  # its processes talk in pickles, and none is read from a file
UNSAFE_CALLS = {
    "__import__", "eval", "exec", "torch.load", "torch.save", "nltk.download", "yaml.load", "yaml.unsafe_load",
    "os.system", "os.popen", "pickle.load", "pickle.loads", "nltk.word_tokenize",
}  # fmt: skip
UNSAFE_METHODS = {"load_state", "save_state", "unpack_archive", "extractall"}  # accelerate's states are pickles
UNSAFE_ARGUMENTS = {"trust_remote_code", "allow_pickle", "shell"}


def _top(module: str) -> str:
    """`textgan.metrics.score` -> `textgan.metrics`: what stands on a floor."""
    return ".".join(module.split(".")[:2])


def _targets(node: ast.AST, module: str) -> Iterator[str]:
    """The modules of this package that an import statement loads."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    elif isinstance(node, ast.ImportFrom):
        package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        base = ".".join(filter(None, [package if node.level else "", node.module]))
        for alias in node.names:
            inside = f"{base}.{alias.name}"
            if inside in MODULES:
                yield inside
            elif base == "textgan" and alias.name in textgan._MODULE_OF:
                yield f"textgan.{textgan._MODULE_OF[alias.name]}"
            elif base in MODULES:
                yield base


def _faults(code: str, name: str) -> list[str]:
    """Unsafe or forbidden constructs of a module's source."""
    faults = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            faults += [a.name for a in node.names if a.name.split(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            faults += [node.module] * (node.module.split(".")[0] in UNSAFE_MODULES)
            faults += [full for a in node.names if (full := f"{node.module}.{a.name}") in UNSAFE_CALLS]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            faults += [called] * (called in UNSAFE_CALLS or called.rpartition(".")[2] in UNSAFE_METHODS)
            given = {keyword.arg for keyword in node.keywords}
            if called.rpartition(".")[2] == "from_pretrained" and "trust_remote_code" not in given:
                faults.append("from_pretrained without trust_remote_code=False")
            faults += ["print"] * (called == "print" and not name.startswith("textgan.cli"))
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                faults += [keyword.arg] * (keyword.arg in UNSAFE_ARGUMENTS and not off)
    return faults


def _loaded_by(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter holds after running the code."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *sorted({sorted(HEAVY)} & sys.modules.keys()))"
    script = script.replace(f"{sorted(HEAVY)}", f"set({sorted(HEAVY)})")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("module", [m for m in MODULES if m != "textgan"])
def test_imports_run_only_downwards(module: str) -> None:
    assert _top(module) in FLOOR_OF, f"give {_top(module)} a floor in FLOORS"
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        for target in _targets(node, module):
            if target != "textgan":
                assert FLOOR_OF[_top(target)] <= FLOOR_OF[_top(module)], f"{module} imports {target}, a floor above it"


def test_no_circle_of_modules_stands_even_by_imports_in_functions_or_for_types() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        needed = graph.setdefault(module, set())
        for node in ast.walk(ast.parse(path.read_text())):
            for target in _targets(node, module):
                # Loading a.b.c runs a.b too, save for those who stand inside a.b already.
                parts = target.split(".")  # textgan itself loads only autoload and sources
                loads = {".".join(parts[:i]) for i in range(2, len(parts) + 1)}
                needed |= {m for m in loads if not f"{module}.".startswith(f"{m}.")}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_recipe_imports_a_recipe_and_no_part_knows_one() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            for target in _targets(node, module):
                if target.startswith("textgan.recipes."):
                    assert module == "textgan.recipes", f"{module} imports {target}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_unsafe_is_called_and_nothing_is_printed(module: str) -> None:
    faults = set(_faults(MODULES[module].read_text(), module))
    assert {fault.split(".")[0] for fault in faults} <= ALLOWED.get(module, set()) if module in ALLOWED else not faults


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import pickle", "pickle"),
        ("from torch import load", "torch.load"),
        ("import torch; torch.load('x', weights_only=True)", "torch.load"),
        ("eval('1')", "eval"),
        ("import nltk\ndef f(): nltk.download('punkt')", "nltk.download"),
        ("M.from_pretrained(x, trust_remote_code=True)", "trust_remote_code"),
        ("M.from_pretrained(x, trust_remote_code=flag)", "trust_remote_code"),
        ("M.from_pretrained(x)", "from_pretrained without trust_remote_code=False"),
        ("np.load(x, allow_pickle=True)", "allow_pickle"),
        ("accelerator.save_state(x)", "accelerator.save_state"),
        ("print('hello')", "print"),
    ],
)
def test_the_check_for_unsafe_code_finds_planted_faults(code: str, fault: str) -> None:
    assert _faults(code, "textgan.planted") == [fault]


def test_the_check_for_unsafe_code_passes_what_only_looks_like_it() -> None:
    assert _faults("net.eval()\nloader.exec_module(m)\nload(x, trust_remote_code=False)", "textgan.planted") == []
    assert _faults("print('hello')", "textgan.cli") == []


def test_importing_textgan_does_no_work() -> None:
    assert _loaded_by("import textgan; dir(textgan); textgan.__version__") == set()


ASK_FOR_HELP = """
from textgan.cli import main
try:
    main(["--help"])
except SystemExit as done:
    assert not done.code
"""


def test_help_loads_no_heavy_library() -> None:
    assert _loaded_by(ASK_FOR_HELP) == set()


@pytest.mark.parametrize("module", ["errors", "text", "grammar", "metrics", "evaluation", "report"])
def test_parts_that_need_no_network_load_none(module: str) -> None:
    assert _loaded_by(f"import textgan.{module}") <= {"numpy"}


@pytest.mark.parametrize("name", sorted(textgan._MODULE_OF))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(textgan, name) is not None
    assert name in dir(textgan)


def test_public_names_are_not_hidden_by_modules_of_the_same_name() -> None:
    # After `import textgan.report`, the name textgan.report is that module, whatever __getattr__ would have said.
    modules = {info.name for info in pkgutil.iter_modules([str(ROOT)])}
    assert {name for name in modules & textgan._MODULE_OF.keys() if textgan._MODULE_OF[name] != name} == set()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = textgan.nonsense


def test_every_module_says_what_it_is_for() -> None:
    assert [m for m, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_auto_classes_know_our_model_whichever_import_comes_first() -> None:
    use = "print(type(M.from_config(AutoConfig.for_model('textgan_lstm', vocab_size=7))).__name__)"
    take = "from transformers import AutoModelForCausalLM as M, AutoConfig"
    for code in (f"import textgan\n{take}\n{use}", f"{take}\nimport textgan\n{use}"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "LSTMForCausalLM", done.stderr


def test_the_version_is_one() -> None:
    assert importlib.import_module("textgan").__version__ == textgan.__version__
    changelog = (ROOT.parent / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog
