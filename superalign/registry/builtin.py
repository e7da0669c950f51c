"""What ships with superalign, kind by kind."""

from __future__ import annotations

from typing import Final

from superalign.registry.plugins import Entry, Registry


def _tasks(**lines: str) -> dict[str, Entry]:
    where = "superalign.weak_to_strong.tasks.builtin"
    classes = {"qa": "QA", "nli": "NLI"}
    return {name: Entry(f"{where}:{classes.get(name, name.title())}", line) for name, line in lines.items()}


def _methods(**lines: str) -> dict[str, Entry]:
    where = "superalign.weak_to_strong.methods"
    policies = {"generative": "Generative", "dpo": "DPO", "cw_po": "CWPO", "wspo": "WSPO"}
    targets = {name: f"{where}.preferences:{cls}" for name, cls in policies.items()}
    return {
        name: Entry(targets.get(name, f"{where}.builtin:{name.title().replace('_', '')}"), line)
        for name, line in lines.items()
    }


def _learners(**lines: str) -> dict[str, Entry]:
    classes = {"online_dpo": "OnlineDPO"}
    where = "superalign.training.algorithms"
    return {name: Entry(f"{where}.{name}:{classes.get(name, name.upper())}", line) for name, line in lines.items()}


def _families(*names: str) -> dict[str, Entry]:
    where = "superalign.attacks.families"
    return {n: Entry(f"{where}:{n.title().replace('_', '')}", n.replace("_", " ")) for n in names}


_SECTIONS: Final = "superalign.config.sections"

LEARNERS: Final = Registry(
    "learner",
    "learner",
    "superalign.training.algorithms.base:LearnerAlgorithm",
    _learners(
        dpo="DPO on noise-aware preferences of critic and experts (arXiv 2305.18290)",
        kto="KTO on single answers with soft labels (arXiv 2402.01306)",
        ppo="PPO with a value head, rewarded by the critic (arXiv 1707.06347)",
        grpo="GRPO: answers to one query against each other (arXiv 2402.03300)",
        rloo="REINFORCE against the other answers to a query (arXiv 2402.14740)",
        online_dpo="DPO on the round's pairs, then on fresh answers that the critic compares",
    ),
)
CRITICS: Final = Registry(
    "critic",
    "critic",
    "superalign.roles.protocols:Critic",
    {
        "generative": Entry(
            "superalign.roles.critic.generative:GenerativeCritic",
            "one adapter judges by the logits of its verdict words and writes critiques",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "classifier": Entry(
            "superalign.roles.critic.classifier:ClassifierCritic",
            "a linear head on frozen features; no words, no adapter trained",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "probe": Entry(
            "superalign.roles.critic.probe:ProbeCritic",
            "heads on hidden states, one for each dimension of the policy; words from the generative adapter",
            f"{_SECTIONS}:ProbeCriticConfig",
        ),
        "lora_classifier": Entry(
            "superalign.roles.critic.lora_classifier:LoraClassifierCritic",
            "an adapter that learns to tell the dimensions, read by heads; for larger models",
            f"{_SECTIONS}:LoraClassifierConfig",
        ),
        "debate": Entry(
            "superalign.roles.critic.debate:DebateCritic",
            "two sides argue, a judge decides after reading both (arXiv 1805.00899)",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
        "consultancy": Entry(
            "superalign.roles.critic.debate:ConsultancyCritic",
            "the control of debate: one side argues, assigned at random",
            f"{_SECTIONS}:AdapterCriticConfig",
        ),
    },
)
ATTACKERS: Final = Registry(
    "attacker",
    "attacker",
    "superalign.roles.protocols:Attacker",
    {
        "trained": Entry(
            "superalign.roles.attacker:TrainedAttacker",
            "an adapter that rewrites seed requests and learns from what worked",
            f"{_SECTIONS}:TrainedAttackerConfig",
        ),
        "few_shot": Entry(
            "superalign.roles.attacker:FewShotAttacker",
            "rewrites seed requests as its prompts tell and show it, and never learns",
            f"{_SECTIONS}:FewShotAttackerConfig",
        ),
        "file": Entry(
            "superalign.roles.attacker:FileAttacker",
            "asks the attacks of a file, such as people's",
            f"{_SECTIONS}:FileAttackerConfig",
        ),
    },
)
JUDGES: Final = Registry(
    "judge",
    "evaluation.judge",
    "superalign.roles.protocols:Judge",
    {
        "oracle": Entry("superalign.roles.judge:OracleJudge", "the testbed's exact oracle"),
        "frozen_critic": Entry("superalign.roles.judge:FrozenCriticJudge", "the critic as it was before any training"),
        "probe": Entry(
            "superalign.roles.probe.judge:ProbeJudge",
            "heads on hidden states of another model or by other labels than the critic's",
            f"{_SECTIONS}:ProbeJudgeConfig",
        ),
        "refusal": Entry("superalign.roles.judge:RefusalJudge", "refusals by their words alone, without a model"),
    },
)
FAMILIES: Final = Registry(
    "family",
    "attacker.families",
    "superalign.attacks.families:AttackFamily",
    _families(
        *("roleplay", "prefix_injection", "fiction", "splitting", "spelling", "code", "authority", "past_tense"),
    ),
)
TASKS: Final = Registry(
    "task",
    "task",
    "superalign.weak_to_strong.tasks.registry:TaskSpec",
    _tasks(
        digits="is the handwritten digit one of 1, 4, 5, 7, 9? (the vision analog)",
        qa="is the proposed answer to the question right?",
        chess="the best move; embedded: the right answer to a request",
        pairs="which of two responses is better?",
        safety="is the response to the prompt unsafe?",
        refusal="refuse what harms and answer the rest",
        toxicity="is the text toxic?",
        continuation="go on without toxicity after the first half of a text",
        nli="does the premise entail the hypothesis, contradict it, or not mention it? (contracts)",
        clauses="which type of clause is it?",
        policy="does the text of a privacy policy bear on the question?",
    ),
)
METHODS: Final = Registry(
    "method",
    "method",
    "superalign.weak_to_strong.methods.registry:Method",
    _methods(
        naive="finetune on the weak labels as they are",
        confidence="auxiliary confidence loss",
        product="targets proportional to weak times student",
        bootstrap="through students of growing size, all on half 2",
        filter="the more confident half of the labels",
        agree="labels that a cross-fitted student confirms",
        reweight="labels weighted by confidence",
        calibrate="labels calibrated on half 1",
        harden="hard labels",
        ensemble="mean of bagged supervisors",
        critic="labels fused with a critic's verdicts",
        debate="a supervisor that reads a debate",
        oracle_stop="naive, epochs chosen by the truth: an oracle, for comparison",
        generative="pairs: language modelling on the responses first",
        dpo="pairs: DPO of a policy on weak preferences",
        cw_po="pairs: DPO weighted by the supervisor's confidence",
        wspo="pairs: match the shift of an aligned weak policy",
    ),
)
SUITES: Final = Registry("suite", "evaluation.suites", "superalign.evaluation.suites:Suite")
