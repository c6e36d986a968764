"""What LangChain has for pictures: a wrapper and a tool for OpenAI's images, and Google's chat models that draw.

langchain-openai draws by the Responses API alone.
"""

from __future__ import annotations

import asyncio
import warnings

with warnings.catch_warnings(action="ignore"):  # langchain-community says that nobody maintains it
    from langchain_community.tools.openai_dalle_image_generation import (  # type: ignore[import-not-found]
        OpenAIDALLEImageGenerationTool,
    )
    from langchain_community.utilities.dalle_image_generator import (  # type: ignore[import-not-found]
        DallEAPIWrapper,
    )

from langchain_core.messages import BaseMessage  # type: ignore[import-not-found]
from langchain_google_genai import ChatGoogleGenerativeAI  # type: ignore[import-not-found]
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]


def draw(prompt: str, **settings: object) -> object:
    return DallEAPIWrapper(**settings).run(prompt)


def use_tool(prompt: str, **settings: object) -> object:
    return OpenAIDALLEImageGenerationTool(api_wrapper=DallEAPIWrapper(**settings)).invoke(prompt)


def chat(messages: object, **settings: object) -> object:
    return told(ChatGoogleGenerativeAI(**settings).invoke(messages))


def chat_async(messages: object, **settings: object) -> object:
    return told(asyncio.run(ChatGoogleGenerativeAI(**settings).ainvoke(messages)))


def stream(messages: object, **settings: object) -> object:
    return [told(chunk) for chunk in ChatGoogleGenerativeAI(**settings).stream(messages)]


def respond(messages: object, **settings: object) -> object:
    return told(ChatOpenAI(**settings).bind_tools([{"type": "image_generation"}]).invoke(messages))


def told(message: BaseMessage) -> object:
    content = message.content if isinstance(message.content, list) else [message.content]
    return {"content": content, "usage": message.usage_metadata, "metadata": message.response_metadata}
