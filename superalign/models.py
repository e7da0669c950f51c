"""Find and load models and tokenizers, and turn chats into token ids that users cannot forge.

A model is named by a string: `testbed` or `testbed-small` (the models shipped with superalign), `hub:NAME`, or a
local folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.errors import UserError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

ASSETS = Path(__file__).parent / "testbed" / "assets"
TESTBED = ASSETS / "base"
SHIPPED = {"testbed": TESTBED, "testbed-small": ASSETS / "small"}
HUB = "hub:"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
FALLBACK_TITLES = {"system": "System", "user": "User", "assistant": "Assistant"}


def resolve(model: str) -> str:
    """The folder or hub name that transformers can load.

    Raises:
        UserError: the folder is missing, or has no config.json or no weights.
    """
    if model.startswith(HUB):
        name = model.removeprefix(HUB)
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
            raise UserError(f"model={model}: {name!r} is no hub name; write hub:OWNER/NAME, e.g. hub:Qwen/Qwen3-0.6B")
        return name
    folder = SHIPPED.get(model) or Path(model).expanduser()
    if not folder.is_dir():
        raise UserError(f"model={model}: there is no folder {folder}; {_remedy(model)}")
    if not (folder / "config.json").is_file():
        raise UserError(f"model={model}: {folder} has no config.json; {_remedy(model)}")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(f"model={model}: {folder} has no weights (model.safetensors); {_remedy(model)}")
    return str(folder)


def same_model(one: str, other: str) -> bool:
    """Whether two names are of one model, as a folder's relative and absolute path are."""
    return one == other or Path(resolve(one)).resolve() == Path(resolve(other)).resolve()


def _remedy(model: str) -> str:
    if model in SHIPPED:
        return f"run `superalign testbed build --size {SHIPPED[model].name}`"
    return (
        "give a folder saved by save_pretrained, `testbed`, `testbed-small`, or hub:OWNER/NAME "
        f"(did you mean {HUB}{model}?)"
    )


@lru_cache(maxsize=8)
def _say_cut(model: str, context: int) -> None:
    log.warning("%s: some prompts are longer than its context of %d tokens; their middle is cut out", model, context)


@lru_cache(maxsize=8)
def load_tokenizer(model: str) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model, with a pad token (the end or the unknown token where it has none of its own).

    Raises:
        UserError: there is none, or only a slow one, or the hub cannot be reached.
    """
    from transformers import AutoTokenizer

    path = resolve(model)
    try:
        tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(path)
    except Exception as error:  # transformers and tokenizers raise bare Exceptions for broken files
        raise _unloadable(model, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise UserError(f"model={model}: its tokenizer has no tokenizer.json; save it with a fast tokenizer")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise UserError(f"model={model}: its tokenizer has no pad, end or unknown token; set pad_token in it")
    tokenizer.padding_side = "left"
    return tokenizer


def device() -> str:
    """Where models are put: the first GPU that this process sees, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def shortage_told(doing: str, remedy: str) -> Iterator[None]:
    """Turn a GPU without enough memory, inside the block, into one line that names the settings which need less.

    Raises:
        UserError: as described.
    """
    try:
        yield
    except Exception as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        # The first sentences say how much was tried; then PyTorch speaks of its own settings.
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:2])
        raise UserError(f"no memory left on the GPU while {doing} ({reason}): {remedy}") from error


def load_base(model: str, dtype: str = "float32") -> PreTrainedModel:
    """The causal language model with frozen weights, in evaluation mode.

    Raises:
        UserError: it cannot be loaded (broken files, unknown architecture, hub not reachable).
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would write into the run's own progress display
    path = resolve(model)
    try:
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
    except Exception as error:  # safetensors and transformers share no base class for broken or missing files
        raise _unloadable(model, "model", error) from error
    return base.eval().requires_grad_(False)


def _unloadable(model: str, what: str, error: Exception) -> UserError:
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    remedy = "check the name and the network, or download it first" if model.startswith(HUB) else "check its files"
    return UserError(f"model={model}: cannot load its {what} ({first}); {remedy}")


@lru_cache(maxsize=8)
def load_chat(model: str) -> Chat:
    """The `Chat` of a model: its tokenizer, context length and everything its generation config stops at."""
    from transformers import AutoConfig, GenerationConfig

    path = resolve(model)
    try:
        config = AutoConfig.from_pretrained(path).get_text_config()
    except Exception as error:  # as in load_base
        raise _unloadable(model, "config", error) from error
    try:
        stops = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # a generation config is optional
        stops = config.eos_token_id
    listed = [stops] if isinstance(stops, int) else list(stops or [])
    return Chat(load_tokenizer(model), config.max_position_embeddings, listed)


class Chat:
    """Chats as token ids.

    Only the chat template can produce special tokens: the content of a message is always encoded as plain text.
    A tokenizer without a chat template gets the plain-text one
    "### System:\\n...\\n\\n### User:\\n...\\n\\n### Assistant:\\n" (after its begin token, if it has one).

    Attributes:
        tokenizer: the tokenizer of the model.
        context: the most tokens that a prompt and its completion can have together.
        stop_ids: the tokens that end an assistant's turn.

    Raises:
        UserError: nothing ends a turn.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, context: int | None = None, stop_ids: Sequence[int] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.context: int = context or tokenizer.model_max_length
        specials = set(tokenizer.all_special_ids)
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        reserved = {i: token.content for i, token in added.items() if token.content.strip()}
        # An unknown token stands for text that the vocabulary lacks; it is forbidden only where it has a second duty.
        duties = {tokenizer.bos_token_id, tokenizer.eos_token_id}
        self._forbidden = (specials | set(reserved)) - ({tokenizer.unk_token_id} - duties)
        alternatives = "|".join(re.escape(text) for text in sorted(reserved.values(), key=len, reverse=True))
        self._reserved = re.compile(f"(?=(?:{alternatives}))") if alternatives else None
        self._frames: dict[tuple[str, ...], list[list[int] | int]] = {}
        ends = [i for i in (self._turn_end(), tokenizer.eos_token_id, *stop_ids) if i is not None]
        if not ends:
            raise UserError(f"{tokenizer.name_or_path}: its tokenizer has no end token; set eos_token in it")
        self._end = ends[0]
        self.stop_ids: frozenset[int] = frozenset(ends)

    def prompt_ids(self, messages: Sequence[dict[str, str]], room: int = 1) -> list[int]:
        """The ids of a chat up to where the assistant's next turn begins.

        What does not fit is cut out of the middle of the longest message, so that `room` tokens (a quarter of the
        context at most) are left for the completion; the log says so once.
        """
        roles = tuple(message["role"] for message in messages)
        if roles not in self._frames:
            self._frames[roles] = self._frame(roles, generate=True)
        frame = self._frames[roles]
        contents = [self.encode(message["content"]) for message in messages]
        fixed = sum(len(part) for part in frame if not isinstance(part, int))
        excess = fixed + sum(map(len, contents)) - (self.context - min(room, self.context // 4))
        while excess > 0 and any(contents):
            longest = max(contents, key=len)
            cut = min(excess, len(longest) - max((len(c) for c in contents if c is not longest), default=0) or 1)
            start = (len(longest) - cut) // 2
            del longest[start : start + cut]
            excess -= cut
            _say_cut(self.tokenizer.name_or_path, self.context)
        return [i for part in frame for i in (contents[part] if isinstance(part, int) else part)]

    def closed(self, ids: Sequence[int]) -> list[int]:
        """A finished turn of the assistant: its ids and the token that ends it."""
        return [*ids, self._end]

    def encode(self, text: str) -> list[int]:
        """The ids of plain text; no special or added token whatever the text says."""
        # Cutting after the first character of every reserved string leaves no piece that holds a whole one.
        cuts = [match.start() + 1 for match in self._reserved.finditer(text)] if self._reserved else []
        pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True) if i < j]
        ids = [
            i
            for p in pieces
            for i in self.tokenizer.encode(p, add_special_tokens=False, split_special_tokens=True, verbose=False)
        ]
        return [i for i in ids if i not in self._forbidden]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _frame(self, roles: tuple[str, ...], generate: bool) -> list[list[int] | int]:
        """The template rendered around gaps: token ids of the template, and indices of the messages to put between.

        The frame depends on the roles alone, so that content never passes through the template.
        """
        texts = re.split("\ue000(\\d+)\ue001", self._render(roles, generate))
        frame: list[list[int] | int] = []
        for position, text in enumerate(texts):
            if position % 2:
                frame.append(int(text))
            elif text:
                frame.append(self.tokenizer.encode(text, add_special_tokens=False))
        if self.tokenizer.chat_template is None and self._begins():
            frame.insert(0, [self.tokenizer.bos_token_id])
        return frame

    def _render(self, roles: tuple[str, ...], generate: bool) -> str:
        from jinja2 import TemplateError

        messages = [{"role": role, "content": f"\ue000{index}\ue001"} for index, role in enumerate(roles)]
        if self.tokenizer.chat_template is None:
            turns = [f"### {FALLBACK_TITLES[m['role']]}:\n{m['content']}" for m in messages]
            return "\n\n".join([*turns, "### Assistant:\n"] if generate else turns)
        try:
            return self._apply(messages, generate)
        except TemplateError:
            # Some templates (Gemma's) refuse a system turn: its words then begin the user's turn.
            if roles[:2] != ("system", "user"):
                raise
            joined = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            return self._apply([joined, *messages[2:]], generate)

    def _apply(self, messages: list[dict[str, str]], generate: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generate, enable_thinking=False
        )
        return text

    def _begins(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer.encode("a")[:1] == [bos]

    def _turn_end(self) -> int | None:
        """The special token that the template puts right after an assistant's words, if any."""
        if self.tokenizer.chat_template is None:
            return None
        frame = self._frame(("user", "assistant"), generate=False)
        after = frame[frame.index(1) + 1 :]
        ids = after[0] if after and isinstance(after[0], list) else []
        return next((i for i in ids if i in self._forbidden), None)
