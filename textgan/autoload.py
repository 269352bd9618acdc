"""Makes `AutoModelForCausalLM` know textgan's models after a bare `import textgan`, which must not import transformers.

Registering needs transformers and torch (seconds), so it waits: the first import of transformers' Auto classes, by
whomever, ends with ours. Everything else about that import stays as it is.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

AUTO = "transformers.models.auto.modeling_auto"


def install() -> None:
    """Register now where the Auto classes are loaded already, or else when they are."""
    if AUTO in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    from textgan import models

    # Half imported only where the models' own imports load the Auto classes; then their last line registers.
    if hasattr(models, "register"):
        models.register()


class _Finder(MetaPathFinder):
    """Finds nothing by itself; adds a last step to the loading of one module, then leaves the path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != AUTO:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
