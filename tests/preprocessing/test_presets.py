import pytest

from preprocessing import presets


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


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"preset steps/none\.yaml: no such preset$"):
        list(presets.expanded([{"preset": "steps/none.yaml"}]))
