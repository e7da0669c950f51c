"""Find and load models and tokenizers, and turn chats into token ids that users cannot forge.

What users can write for a model is in `superalign.models.references`.
"""

from superalign.models.chat import Chat
from superalign.models.loading import load_base, load_chat, load_config, load_tokenizer, shortage_told
from superalign.models.permissions import allow, may_run_code
from superalign.models.precision import chosen_dtype, device
from superalign.models.references import HUB, SHIPPED, TESTBED, is_reference, resolve, same_model

__all__ = [
    "HUB",
    "SHIPPED",
    "TESTBED",
    "Chat",
    "allow",
    "chosen_dtype",
    "device",
    "is_reference",
    "load_base",
    "load_chat",
    "load_config",
    "load_tokenizer",
    "may_run_code",
    "resolve",
    "same_model",
    "shortage_told",
]
