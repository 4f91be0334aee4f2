"""What keys are for: the texts below them in `model.py` and `routes.py`, read where they are shown.

pydantic can read them as it makes each class (`use_attribute_docstrings`), which takes 30 ms of every start. Only
errors and the JSON Schema show them.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from gateway.config.keys import Keys


@cache
def descriptions(section: type[Keys]) -> dict[str, str]:
    """Return the texts of a section's keys by their names, those that it inherits among them."""
    inherited = [descriptions(base) for base in section.__bases__ if issubclass(base, Keys)]
    (declared,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(declared, ast.ClassDef)
    own = {
        key.target.id: inspect.cleandoc(text.value.value)
        for key, text in pairwise(declared.body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
    return {name: text for texts in (*inherited, own) for name, text in texts.items()}
