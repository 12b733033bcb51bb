import pytest
<<<<<<< HEAD:tests/preprocessing/test_presets.py

from preprocessing import presets
=======
from raw import document

from preprocessing import presets
from preprocessing.config import SourceConfig
from preprocessing.presets import names
from preprocessing.step import Filter
>>>>>>> e050907 (Tests of our presets):tests/preprocessing/test_our_presets.py


def test_a_preset_stands_for_its_steps(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("- {preset: plain}\n- {type: length, minimum: 5}\n")
    found = list(presets.expanded([{"type": "characters"}, {"preset": str(own)}]))
    plain = list(presets.expanded([{"preset": "plain"}]))
    assert [step["type"] for step in plain] == ["mojibake", "unicode", "whitespace"]
    assert found == [{"type": "characters"}, *plain, {"type": "length", "minimum": 5}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("type: length", "must be a list of steps"),
        ("- {type: length", "is no YAML"),
        ("- {preset: SELF}", "presets contain each other"),
        ("- {preset: plain, minimum: 3}", "takes no other keys (minimum)"),
        ("- {preset: plane}", "no such preset; did you mean 'plain'?"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, problem):
    path = tmp_path / "own.yaml"
    path.write_text(content.replace("SELF", str(path)))
    with pytest.raises(ValueError, match="preset") as caught:
        list(presets.expanded([{"preset": str(path)}]))
    assert problem in str(caught.value)


<<<<<<< HEAD:tests/preprocessing/test_presets.py
def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match="preset steps/none.yaml: no such preset$"):
        list(presets.expanded([{"preset": "steps/none.yaml"}]))
=======
@pytest.mark.parametrize("name", names())
def test_every_preset_builds_and_says_where_it_comes_from(name):
    assert (OURS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")
    source = SourceConfig(reader={"type": "text"}, paths=("a.txt",), steps=({"preset": name},))
    assert source.problems() == []
    assert len(source.build_steps()) == len(source.steps)


@pytest.mark.parametrize("name", names())
def test_no_filter_of_a_preset_drops_plain_prose(name):
    source = SourceConfig(reader={"type": "text"}, paths=("a.txt",), steps=({"preset": name},))
    filters = [step for step in source.build_steps() if isinstance(step, Filter)]
    reasons = {type(step).__name__: step.reason(document(PROSE)) for step in filters}
    assert {step: reason for step, reason in reasons.items() if reason} == {}
>>>>>>> e050907 (Tests of our presets):tests/preprocessing/test_our_presets.py
