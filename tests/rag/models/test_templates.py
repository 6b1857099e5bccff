"""Our table of chat templates against the models' own, as Jinja2 renders them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2.sandbox import SandboxedEnvironment

from rag.engine.prompt import render
from rag.errors import BadRequest, ModelError
from rag.models.header import read_header
from rag.models.lockfile import entry, locate
from rag.models.templates import families, template_for
from rag.types import Message

Maker = Callable[..., Path]

LOOP = "{% for m in messages %}"
END = "{% endfor %}"
ASK = "{% if add_generation_prompt %}"
CHATML = (
    LOOP
    + "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    + END
    + ASK
    + "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FOLD = (
    "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}"
)
# The shape that each family publishes, shortened to what text conversations use.
PUBLISHED = {
    "chatml": CHATML,
    "qwen": "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Qwen, created by "
    "Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}{% endif %}" + CHATML,
    "qwen3": CHATML.replace(
        "assistant\n' }}",
        "assistant\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
        "{{ '<think>\n\n</think>\n\n' }}{% endif %}",
    ),
    "phi4": LOOP
    + "{{ '<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + '<|im_end|>' }}"
    + END
    + ASK
    + "{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    "llama3": LOOP
    + "{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim "
    "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}" + END + ASK + "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "gemma": "{{ bos_token }}"
    + FOLD
    + LOOP
    + "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') + m['content'] | trim "
    "+ '<end_of_turn>\n' }}" + END + ASK + "{{ '<start_of_turn>model\n' }}{% endif %}",
    "granite": LOOP
    + "{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + '<|end_of_text|>\n' }}"
    + END
    + ASK
    + "{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
    "command-r": "{{ bos_token }}"
    + LOOP
    + "{% set who = {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', "
    "'assistant': '<|CHATBOT_TOKEN|>'}[m['role']] %}"
    "{{ '<|START_OF_TURN_TOKEN|>' + who + m['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}"
    + END
    + ASK
    + "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
    "deepseek": "{{ bos_token }}" + LOOP + "{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
    "{% else %}{{ '<｜Assistant｜>' + m['content'] + eos_token }}{% endif %}"
    + END
    + ASK
    + "{{ '<｜Assistant｜>' }}{% endif %}",
    "phi3": LOOP + "{% if m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '<|end|>\n' }}"
    "{% elif m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '<|end|>\n' }}"
    "{% else %}{{ '<|assistant|>\n' + m['content'] + '<|end|>\n' }}{% endif %}"
    + END
    + ASK
    + "{{ '<|assistant|>\n' }}{% endif %}",
    "zephyr": LOOP + "{% if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + eos_token }}"
    "{% elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + eos_token }}"
    "{% else %}{{ '<|assistant|>\n' + m['content'] + eos_token }}{% endif %}{{ '\n' }}"
    + END
    + ASK
    + "{{ '<|assistant|>\n' }}{% endif %}",
    "mistral-v7": "{{ bos_token }}"
    + LOOP
    + "{% if m['role'] == 'user' %}{{ '[INST]' + m['content'] + '[/INST]' }}"
    "{% elif m['role'] == 'system' %}{{ '[SYSTEM_PROMPT]' + m['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}" + END,
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set first = '<<SYS>>\n' + messages[0]['content'] "
    "+ '\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}"
    + LOOP
    + "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (first if loop.first else '') + m['content'] "
    "+ ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}" + END,
    "mistral": "{{ bos_token }}" + FOLD + LOOP + "{% if m['role'] == 'user' %}{{ '[INST] ' + "
    "(first if loop.first else '') + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}" + END,
}
BOS = {
    "llama3": "<|begin_of_text|>",
    "gemma": "<bos>",
    "command-r": "<BOS_TOKEN>",
    "deepseek": "<｜begin▁of▁sentence｜>",
}
EOS = {"deepseek": "<｜end▁of▁sentence｜>"}

USER, SAID, AGAIN = Message("user", "Hi {role}"), Message("assistant", "Yes?"), Message("user", "Why?")
SYSTEM = Message("system", "Be brief.")


def published(family: str, messages: list[Message]) -> str:
    """As the tokenizers of the models' makers render it."""
    environment = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PUBLISHED[family]).render(
        messages=[{"role": message.role, "content": message.content} for message in messages],
        add_generation_prompt=True,
        enable_thinking=False,
        bos_token=BOS.get(family, "<s>"),
        eos_token=EOS.get(family, "</s>"),
    )


def test_every_family_has_a_published_shape_here() -> None:
    assert PUBLISHED.keys() == families().keys()


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("messages", [[USER], [SYSTEM, USER], [SYSTEM, USER, SAID, AGAIN]])
def test_a_family_renders_as_its_models_own_template(family: str, messages: list[Message]) -> None:
    ours = "".join(piece.text for piece in render(messages, families()[family].template))
    assert ours == published(family, messages)


@pytest.mark.parametrize("family", families())
def test_a_family_is_known_by_its_models_own_template(made: Maker, family: str) -> None:
    header = read_header(made("chat.gguf", keys={"tokenizer.chat_template": PUBLISHED[family]}))
    assert template_for(header).answer == families()[family].template.answer
    assert template_for(header).turns == families()[family].template.turns


def test_a_model_without_template_is_known_by_its_control_tokens(made: Maker) -> None:
    header = read_header(made("bare.gguf", tokens=["a", "<start_of_turn>", "<end_of_turn>"]))
    assert template_for(header).roles == {"assistant": "model"}


def test_what_no_family_fits_is_refused_with_the_choices(made: Maker) -> None:
    odd = read_header(made("odd.gguf", keys={"tokenizer.chat_template": "### User: {{ x }}"}))
    with pytest.raises(ModelError, match=r"begins '### User: .*--template: qwen3, .*zephyr"):
        template_for(odd)
    none = read_header(made("none.gguf", tokens=["a", "<x>"]))
    with pytest.raises(ModelError, match=r"has none; control tokens: <x>\. .*--template"):
        template_for(none)
    assert template_for(odd, "llama3") == replace(
        families()["llama3"].template, markers=families()["llama3"].template.markers
    )
    with pytest.raises(BadRequest, match="no chat template 'alpaca'; have qwen3, "):
        template_for(odd, "alpaca")


def test_markers_that_are_control_tokens_need_no_breaking_up(made: Maker) -> None:
    assert template_for(read_header(made("tokens.gguf"))).markers == ()
    spelt = read_header(made("text.gguf", keys={"tokenizer.chat_template": CHATML}, tokens=["a", "b"]))
    assert template_for(spelt).markers == ("<|im_start|>", "<|im_end|>")


@pytest.mark.model
def test_the_bundled_model_is_chatml() -> None:
    pinned = entry("smollm2-135m-instruct")
    assert pinned.template
    assert template_for(read_header(locate(pinned))) == replace(pinned.template, system="")
