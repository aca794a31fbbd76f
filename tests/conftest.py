"""Settings of the whole suite."""

import sys

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: no example is failed for the time it took. Where CI is set, the profile that is
# inherited draws the same examples each time.
settings.register_profile("imblab", settings.default, deadline=None)
settings.load_profile("imblab")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Write modules of a user's own to where they are imported from, such as ``packages(mypkg__model=text)``."""
    folder = tmp_path / "own_code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write(**files):
        for name, text in files.items():
            path = folder.joinpath(*name.split("/" if "/" in name else "__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    yield write
    for name in [n for n in sys.modules if n not in before]:
        if str(getattr(sys.modules[name], "__file__", None) or folder).startswith(str(folder)):
            del sys.modules[name]
