"""The tasks and methods by name, one line each; imports nothing, so that the command line can list them at once."""

from __future__ import annotations

from typing import Final

TASK_LINES: Final = {
    "digits": "is the handwritten digit one of 1, 4, 5, 7, 9? (the vision analog)",
    "qa": "is the proposed answer to the question right?",
    "chess": "the best move; embedded: the right answer to a request",
    "pairs": "which of two responses is better?",
    "safety": "is the response to the prompt unsafe?",
    "refusal": "refuse what harms and answer the rest",
    "toxicity": "is the text toxic?",
    "continuation": "go on without toxicity after the first half of a text",
    "nli": "does the premise entail the hypothesis, contradict it, or not mention it? (contracts)",
    "clauses": "which type of clause is it?",
    "policy": "does the text of a privacy policy bear on the question?",
}
METHOD_LINES: Final = {
    "naive": "finetune on the weak labels as they are",
    "confidence": "auxiliary confidence loss",
    "product": "targets proportional to weak times student",
    "bootstrap": "through students of growing size, all on half 2",
    "filter": "the more confident half of the labels",
    "agree": "labels that a cross-fitted student confirms",
    "reweight": "labels weighted by confidence",
    "calibrate": "labels calibrated on half 1",
    "harden": "hard labels",
    "ensemble": "mean of bagged supervisors",
    "critic": "labels fused with a critic's verdicts",
    "debate": "a supervisor that reads a debate",
    "oracle_stop": "naive, epochs chosen by the truth: an oracle, for comparison",
    "generative": "pairs: language modelling on the responses first",
    "dpo": "pairs: DPO of a policy on weak preferences",
    "cw_po": "pairs: DPO weighted by the supervisor's confidence",
    "wspo": "pairs: match the shift of an aligned weak policy",
}
