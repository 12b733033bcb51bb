"""Expansion of templates: choices without repetition, variables, forms, styles."""

import re
from random import Random

import pytest

from preprocessing.sample.grammar import Register, Rule, load_registers, parse_template
from preprocessing.sample.writer import Writer


def writer(rules, lets=(), style="plain", digits="ascii", seed=1):
    built = {}
    for name, alternatives in rules.items():
        name, _, own = name.partition(" ")
        built[name] = Rule(name, own or None, tuple(map(parse_template, alternatives)))
    templates = tuple((name, parse_template(template)) for name, template in dict(lets).items())
    return Writer(Register("test", (style,), digits, {}, templates, built), Random(seed))


def test_alternatives_come_without_repetition():
    compose = writer({"document": ["{letter*4}"], "letter": list("abcd")}).compose
    assert sorted(compose().paragraphs[0]) == list("abcd")


def test_ordered_alternatives_keep_the_order_of_the_file():
    for seed in range(20):
        text = writer({"document": ["{letter*3>}"], "letter": list("abcde")}, seed=seed).text("document")
        assert len(text) == 3
        assert sorted(text) == list(text)


def test_variables_keep_their_text():
    lets = {"name": "{man_name}", "town": "{town}"}
    made = writer({"document": ["{name}は{town}の{town.kind}。{x=weekday}、{x}。"]}, lets)
    text = made.compose().paragraphs[0]
    town = made.variables["town"]
    assert text.startswith(f"{made.variables['name']}は{town}の{town[-1]}。")
    first, second = text.split("。")[1].split("、")
    assert first == second


def test_a_rule_can_depend_on_a_variable():
    rules = {"document": ["{sound@animal}"], "sound.犬": ["わん"], "sound.猫": ["にゃあ"]}
    assert writer(rules, {"animal": "猫"}).text("document") == "にゃあ"


def test_forms_reach_the_last_word_through_rules_and_choices():
    rules = {"document": ["{act:te}、{act:TA}。"], "act": ["{thing}を[磨く|洗う]"], "thing": ["皿"]}
    text = writer(rules, style="polite").text("document")
    assert re.fullmatch("皿を(磨いて|洗って)、皿を(磨きました|洗いました)。", text)


def test_chains_join():
    rules = {"document": ["{act:TA}"], "act": ["本を[読む]:teiru"]}
    assert writer(rules).text("document") == "本を読んでいた"


def test_a_rule_may_have_a_style_of_its_own():
    rules = {"document": ["「{word}」と{話す:TA}。"], "word plain": ["町へ{行く:U}"]}
    assert writer(rules, style="polite").text("document") == "「町へ行く」と話しました。"


def test_digits():
    assert writer({"document": ["{#12}人"]}, digits="kanji").text("document") == "十二人"
    assert writer({"document": ["{#20-30/5}"]}, seed=3).text("document") in {"20", "25", "30"}


def test_paragraphs_and_headings():
    made = writer({"document": ["§題¶本文。¶"]}).compose()
    assert made.paragraphs == ("§題", "本文。")
    assert made.lines == ("題", "本文。")


def test_readings_of_names_in_the_text_are_kept():
    made = writer({"document": ["{hero}が来た。"]}, {"hero": "{person}", "other": "{person}"})
    composition = made.compose()
    assert set(composition.readings) >= {made.variables["hero"]}
    assert made.variables["other"] not in composition.readings


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError, match="nonsense"):
        writer({"document": ["{nonsense}"]}).text("document")


@pytest.mark.parametrize("register", load_registers().values(), ids=lambda register: register.name)
def test_every_register_composes(register):
    for seed in range(25):
        for rule in {"document", "book"} & register.rules.keys():
            composition = Writer(register, Random(f"{register.name}{seed}")).compose(rule)
            assert composition.paragraphs
            assert not any(sign in line for line in composition.lines for sign in "{}[]|§¶")
            assert not any(pair in line for line in composition.lines for pair in ("。。", "、、", "、。", "「」"))
