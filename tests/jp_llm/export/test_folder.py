"""What a Hugging Face folder may take the place of."""

from pathlib import Path

import pytest

from jp_llm.export.folder import CONFIG_FILE, check_target
from jp_llm.runtime.errors import UserError


def test_an_older_model_is_replaced_only_on_request(tmp_path: Path) -> None:
    check_target(tmp_path / "model", overwrite=False)
    (tmp_path / "model").mkdir()
    check_target(tmp_path / "model", overwrite=False)
    (tmp_path / "model" / CONFIG_FILE).touch()
    with pytest.raises(UserError, match="set overwrite=true"):
        check_target(tmp_path / "model", overwrite=False)
    check_target(tmp_path / "model", overwrite=True)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_else_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "file":
        target.write_text("precious")
    elif kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("precious")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no Hugging Face model"):
        check_target(target, overwrite=True)
