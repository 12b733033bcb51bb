"""The supervisor's file KILL and that of a person."""

from pathlib import Path

from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise import orders


def test_the_own_order_is_given_and_taken_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert orders.give(folder)
    assert orders.give(folder)
    orders.take_back(folder)
    orders.take_back(folder)
    assert not folder.kill_order.exists()


def test_the_order_of_a_person_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.kill_order.write_text("enough\n")
    assert not orders.give(folder)
    orders.take_back(folder)
    assert folder.kill_order.read_text() == "enough\n"


def test_whose_order_was_obeyed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not orders.obey(folder)
    orders.give(folder)
    assert orders.obey(folder)
    assert not orders.is_of_a_person(folder)
    folder.kill_order.touch()
    assert orders.obey(folder)
    assert orders.is_of_a_person(folder)
    assert not folder.kill_order.exists()
