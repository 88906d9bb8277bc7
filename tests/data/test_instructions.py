"""Questions that ask for the answer in a place that their format does not read."""

import pytest
from helpers.rows import make_gsm8k_rows

from rlready.config import Curate
from rlready.stages.plan.sources import find_instruction, look_at_sources

LINE = "The last line of your response should be of the form Answer: $Answer (without quotes)"


@pytest.mark.parametrize(
    ("question", "form", "said"),
    [
        (f"Solve this.  {LINE}. What is 1+1?", "boxed", LINE),
        ('What is 1+1?\n\nPut your answer on its own line after "Answer:".', "letter", "Put your answer on its own line after"),
        ("1+1? Write the number after ####.", "boxed", "Write the number after ####"),
        ("1+1? Use <answer> </answer> tags.", "boxed", "Use <answer> </answer> tags"),
        ("1+1? Put your final answer within \\boxed{}.", "exact", "Put your final answer within \\boxed{}"),
        ("1+1? Put your final answer within \\boxed{}.", "boxed", None),
        (f"{LINE} and in \\boxed{{}}.", "boxed", None),
        (f"1+1? {LINE}", "exact", None),
        (f"1+1? {LINE}", "word", None),
        ("Use the table.\nQuestion: 1+1?\nAnswer:", "boxed", None),
        ("Tag these lines.\n#### Heading\nText. 1+1?", "boxed", None),
    ],
)
def test_an_instruction_in_the_question_is_found_if_it_differs_from_the_formats(question, form, said):
    found = find_instruction(question, form)
    assert found is None if said is None else found.startswith(said)


def test_plan_says_how_many_questions_ask_for_another_form(gsm8k_file):
    rows = make_gsm8k_rows(20)
    asked = [row | {"question": f"{row['question']} {LINE}."} for row in rows[:5]]
    train, test = (str(gsm8k_file(name, some)) for name, some in (("a.jsonl", asked + rows[5:]), ("b.jsonl", rows[5:])))
    notes = [note for note in look_at_sources(Curate(sft_data=train, evaluation_data=test)).notes if "ask for" in note]
    assert len(notes) == 1 and notes[0].startswith(f"5 of all 20 rows of {train} (25%) ask for the answer") and LINE in notes[0]
