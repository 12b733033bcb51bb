from raw import document

from preprocessing.filters.repetition import RepetitionFilter


def reason(text: str, **fields) -> str | None:
    return RepetitionFilter(**fields).reason(document(text))


def test_lines():
    text = "一\n二\n\n一\n長い行です\n\n"  # 4 lines, one further copy; 1 of 8 characters
    assert reason(text, maximum_duplicate_lines=0.25) is None
    assert reason(text, maximum_duplicate_lines=0.24) == "duplicate_lines"
    assert reason(text, maximum_duplicate_line_characters=0.125) is None
    assert reason(text, maximum_duplicate_line_characters=0.12) == "duplicate_lines"
    assert reason("一\n二", maximum_duplicate_lines=0, maximum_duplicate_line_characters=0) is None


def test_ngrams():
    assert reason("あいあいあ", frequent_ngrams={2: 0.5}) is None
    assert reason("あいあいあ", frequent_ngrams={2: 0.49}) == "frequent_ngram"
    assert reason("あいうあい", duplicate_ngrams={2: 0.34}) is None
    assert reason("あいうあい", duplicate_ngrams={2: 0.33}) == "duplicate_ngrams"


def test_top_ngrams_are_dropped_when_the_share_is_reached():
    # 3 different bigrams; int(sqrt(3)) = 1 is the most frequent one, which stands 3 times of 6.
    text = "ああああいあい"
    assert reason(text, top_ngrams={2: 0.5}) == "top_ngrams"
    assert reason(text, top_ngrams={2: 0.51}) is None
    assert reason("あいうえお", top_ngrams={5: 0.01}) is None


def test_runs():
    assert reason("あ" * 200, maximum_run=200) is None
    assert reason("あ" * 201, maximum_run=200) == "one_character"
    assert reason("い" + " " * 201 + "い", maximum_run=200) == "one_character"
    # Blank lines are left out only where lines are counted.
    assert reason("い" + "\n" * 201 + "い", maximum_run=200) == "one_character"


def test_nothing():
    limits = {
        "maximum_duplicate_lines": 0.0,
        "frequent_ngrams": {2: 0.0},
        "duplicate_ngrams": {5: 0.0},
        "maximum_run": 1,
    }
    assert reason("", **limits, top_ngrams={5: 0.1}) is None
    assert reason("あああ") is None
