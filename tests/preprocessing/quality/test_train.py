import gzip
import json
from random import Random

import numpy as np
import pytest
from raw import document

from jp_llm.config import app
from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.filters.quality import QualityFilter
from preprocessing.quality.model import QualityModel
from preprocessing.quality.train import QualityConfig, TrainQualityConfig, area_under_curve, run, train

GOOD = [
    "村の古い家で昔の話を聞いた",
    "朝の市場には魚と野菜が並ぶ",
    "子どもたちは川で遊んでいる",
    "図書館は静かで本の匂いがする",
]
BAD = [
    "今だけ半額クリックして登録",
    "最新情報ランキング一覧はこちら",
    "送料無料ポイント進呈中",
    "無料会員登録で特典プレゼント",
]
CONFIG = QualityConfig(bits=12, epochs=3)


def texts(phrases: list[str], number: int, seed: int) -> list[str]:
    rng = Random(seed)
    return ["。".join(rng.choices(phrases, k=6)) + f"。{n}" for n in range(number)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    good, bad = folder / "good.jsonl.gz", folder / "bad.txt"
    good.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts(GOOD, 150, 1)).encode()))
    bad.write_text("\n".join(texts(BAD, 120, 2)), encoding="utf-8")
    return good, bad


def test_what_is_learnt_holds_for_other_texts(files):
    model = train([files[0]], [files[1]], CONFIG)
    figures = model.manifest["held_out"]
    assert (figures["accuracy"], figures["auc"]) == (1.0, 1.0)
    assert (model.manifest["good"], model.manifest["bad"]) == (150, 120)
    assert [model.score(document(text).view.folded[1]) > 0.5 for text in (*texts(GOOD, 5, 3), *texts(BAD, 5, 4))] == (
        [True] * 5 + [False] * 5
    )


def test_what_cannot_be_learnt_is_not_claimed(tmp_path):
    same = texts(GOOD + BAD, 600, 5)
    Random(0).shuffle(same)
    for name, part in (("a", same[:300]), ("b", same[300:])):
        (tmp_path / f"{name}.txt").write_text("\n".join(part), encoding="utf-8")
    model = train([tmp_path / "a.txt"], [tmp_path / "b.txt"], QualityConfig(bits=12, held_out=0.4))
    assert 0.25 < model.manifest["held_out"]["auc"] < 0.75


def test_the_same_examples_give_the_same_file_whatever_their_order(files, tmp_path):
    shuffled = tmp_path / "bad.txt"
    lines = files[1].read_text(encoding="utf-8").split("\n")
    Random(0).shuffle(lines)
    # Copies count once.
    shuffled.write_text("\n".join(lines + lines[:20]), encoding="utf-8")
    first, second = train([files[0]], [files[1]], CONFIG), train([files[0]], [shuffled], CONFIG)
    assert np.array_equal(first.weights, second.weights)
    assert first.bias == second.bias


def test_a_sample_of_many_examples(files):
    model = train([files[0]], [files[1]], QualityConfig(bits=12, maximum_examples=60))
    assert (model.manifest["good"], model.manifest["bad"]) == (60, 60)


def test_too_few_or_contradicting_examples(files, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(texts(BAD, 5, 1)), encoding="utf-8")
    with pytest.raises(UserError, match="bad: only"):
        train([files[0]], [few], CONFIG)
    with pytest.raises(UserError, match="150 texts are in both"):
        train([files[0]], [files[0]], CONFIG)
    with pytest.raises(UserError, match=r"good: .*nothing\*: no such file"):
        run(TrainQualityConfig(good=(str(tmp_path / "nothing*"),), bad=(str(few),), output="x"))


def test_the_curve():
    good = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.9, 0.8, 0.2, 0.1]), good) == 1.0
    assert area_under_curve(np.array([0.1, 0.2, 0.8, 0.9]), good) == 0.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5, 0.5]), good) == 0.5
    assert area_under_curve(np.array([0.9, 0.3, 0.5, 0.1]), good) == 0.75


def test_from_the_command_line_to_the_filter(files, tmp_path, capsys):
    path = tmp_path / "models" / "quality.npz"
    words = [f"good=[{files[0]}]", f"bad=[{files[1]}]", f"output={path}", "quality.bits=12"]
    assert app.run("quality", TrainQualityConfig, run, words) == ExitCode.DONE
    assert "accuracy 1.000" in capsys.readouterr().out
    step = QualityFilter(model=str(path))
    assert step.problems() == []
    assert step.files() == (str(path),)
    assert step.reason(document(texts(GOOD, 1, 9)[0])) is None
    assert step.reason(document(texts(BAD, 1, 9)[0])) == "low_quality"
    assert QualityFilter(model=str(path), minimum=0).reason(document("")) is None
    assert QualityModel.load(path).manifest["recipe"]["bits"] == 12
    assert QualityFilter(model="nowhere.npz").problems() == [
        "model: nowhere.npz: cannot be read: No such file or directory"
    ]


def test_every_missing_key_is_named():
    assert app.run("quality", TrainQualityConfig, run, []) == ExitCode.CONFIG_REFUSED
    assert len(TrainQualityConfig().problems()) == 3
