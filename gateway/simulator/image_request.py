"""What an image request asks for, and what the provider refuses in one.

Source: OpenAI API reference, "Create image", "Create image edit", "Create image variation", and
the error texts of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from gateway.simulator.checks import (
    choice,
    flag,
    optional_text,
    refuse_unknown,
    text,
    values_of_form,
    whole,
)
from gateway.simulator.errors import bad_request, missing_parameter
from gateway.simulator.image_size import size_of_data
from gateway.simulator.image_tokens import LANDSCAPE, PORTRAIT, QUALITIES, SQUARE
from gateway.simulator.models import Model, find_model_serving
from gateway.simulator.multipart import Form, Upload

PICTURES_MAX = 10
PARTIALS_MAX = 3
INPUTS_MAX = 16
INPUT_BYTES_MAX = 50 * 1024 * 1024
INPUT_BYTES_MAX_DALLE = 4 * 1024 * 1024
_INPUT_KINDS = ("image/jpeg", "image/png", "image/webp")

_PROMPT_MAX = {"dall-e-2": 1_000, "dall-e-3": 4_000}
_PROMPT_MAX_GPT = 32_000
_SIZES_2 = ("256x256", "512x512", "1024x1024")
_SIZES_3 = ("1024x1024", "1792x1024", "1024x1792")
_SIZES_GPT = ("1024x1024", "1024x1536", "1536x1024", "auto")

_GPT_FIELDS = frozenset(
    {
        "background",
        "moderation",
        "output_compression",
        "output_format",
        "partial_images",
        "stream",
    }
)
_COMMON = frozenset({"model", "n", "prompt", "quality", "response_format", "size", "user"})
_GENERATION_FIELDS = _COMMON | _GPT_FIELDS | {"safety_identifier", "style"}
_EDIT_FIELDS = (_COMMON | _GPT_FIELDS | {"safety_identifier", "input_fidelity"}) - {"moderation"}
_VARIATION_FIELDS = _COMMON - {"prompt", "quality"}


@dataclass(frozen=True, slots=True)
class ImageTask:
    """A checked request. Sizes are pixels across and down."""

    endpoint: str
    model: Model
    requested_model: str
    prompt: str
    n: int
    size: tuple[int, int]
    quality: str
    """low, medium or high of a GPT model; standard or hd of the others."""
    as_url: bool = False
    transparent: bool = False
    stream: bool = False
    partial_images: int = 0
    user: str = ""
    """The effective safety identifier; empty where none was sent."""
    inputs: tuple[tuple[int, int], ...] = ()
    high_fidelity: bool = False

    @property
    def gpt(self) -> bool:
        """Whether it is charged by tokens."""
        return self.model.name.startswith("gpt-")

    @property
    def seed(self) -> int:
        """The same for the same question; picks whatever the request leaves open."""
        return _seed(self.model, self.prompt)


def read_generation(body: Mapping[str, Any], strict: bool) -> ImageTask:
    """A request for ``images/generations``. Raises ProviderError (400, 404)."""
    refuse_unknown(body, _GENERATION_FIELDS, strict)
    model = _model(body)
    return _task("images/generations", body, model)


def read_edit(form: Form, strict: bool) -> ImageTask:
    """A request for ``images/edits``. Raises ProviderError (400, 404)."""
    body = _body_of(form)
    refuse_unknown(body, _EDIT_FIELDS, strict)
    model = _model(body)
    if model.name == "dall-e-3":
        raise bad_request("The model dall-e-3 does not support image edits.", "model")
    images = form.files.get("image", []) + form.files.get("image[]", [])
    sizes = _input_sizes(images, model)
    if (mask := form.file("mask")) is not None:
        _check_mask(mask, sizes[0])
    return _task("images/edits", body, model, sizes)


def read_variation(form: Form, strict: bool) -> ImageTask:
    """A request for ``images/variations``. Raises ProviderError (400, 404)."""
    body = _body_of(form)
    refuse_unknown(body, _VARIATION_FIELDS, strict)
    model = _model(body)
    if model.name != "dall-e-2":
        raise bad_request(
            f"Invalid value: '{model.name}'. Value must be 'dall-e-2'.", "model", "invalid_value"
        )
    sizes = _input_sizes(form.files.get("image", []), model)
    return _task("images/variations", {**body, "prompt": "variation"}, model, sizes)


def _body_of(form: Form) -> dict[str, Any]:
    return values_of_form(
        form, whole=("n", "output_compression", "partial_images"), flags=("stream",)
    )


def _model(body: Mapping[str, Any]) -> Model:
    """The model named, or the provider's default: its oldest that knows the fields sent."""
    name = body.get("model")
    if name is None:
        name = "gpt-image-1" if body.keys() & _GPT_FIELDS else "dall-e-2"
    return find_model_serving("images", name)


def _task(
    endpoint: str,
    body: Mapping[str, Any],
    model: Model,
    inputs: tuple[tuple[int, int], ...] = (),
) -> ImageTask:
    prompt = text(body, "prompt", _PROMPT_MAX.get(model.name, _PROMPT_MAX_GPT))
    common: dict[str, Any] = {
        "endpoint": endpoint,
        "model": model,
        "requested_model": body.get("model") or model.name,
        "prompt": prompt,
        "n": whole(body, "n", 1, PICTURES_MAX, 1),
        "user": optional_text(body, "safety_identifier") or optional_text(body, "user"),
        "inputs": inputs,
    }
    own = _gpt_wishes(body, model, prompt) if model.name[0] == "g" else _dalle_wishes(body, model)
    return ImageTask(**common, **own)


def _dalle_wishes(body: Mapping[str, Any], model: Model) -> dict[str, Any]:
    new = model.name == "dall-e-3"
    for name in sorted(_GPT_FIELDS | {"input_fidelity"}):
        if body.get(name) not in (None, False):
            raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if new and body.get("n") not in (None, 1):
        raise bad_request("You must provide n=1 for this model.", "n")
    if not new and body.get("style") is not None:
        raise bad_request("Unknown parameter: 'style'.", "style", "unknown_parameter")
    choice(body, "style", ("vivid", "natural"), "vivid")
    form = choice(body, "response_format", ("url", "b64_json"), "url")
    quality = choice(
        body, "quality", ("standard", "hd", "auto") if new else ("standard", "auto"), "standard"
    )
    return {
        "size": _pixels(choice(body, "size", _SIZES_3 if new else _SIZES_2, "1024x1024")),
        "quality": "hd" if quality == "hd" else "standard",
        "as_url": form == "url",
    }


def _gpt_wishes(body: Mapping[str, Any], model: Model, prompt: str) -> dict[str, Any]:
    for name in ("response_format", "style"):
        if body.get(name) is not None:
            raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    background = choice(body, "background", ("transparent", "opaque", "auto"), "auto")
    form = choice(body, "output_format", ("png", "webp", "jpeg"), "png")
    whole(body, "output_compression", 0, 100, 100)
    if form == "png" and body.get("output_compression") not in (None, 100):
        raise bad_request(
            "Compression less than 100 is not supported for PNG output format.",
            "output_compression",
            "invalid_png_output_compression",
        )
    if form == "jpeg" and background == "transparent":
        raise bad_request(
            "Transparent background is not supported for JPEG output format.",
            "background",
            "invalid_transparent_background",
        )
    if form != "png":
        raise bad_request(f"The simulator draws png only, not {form}.", "output_format")
    choice(body, "moderation", ("low", "auto"), "auto")
    fidelity = choice(body, "input_fidelity", ("high", "low"), "low")
    if fidelity == "high" and model.name == "gpt-image-1-mini":
        raise bad_request(
            "The model 'gpt-image-1-mini' does not support the 'input_fidelity' parameter.",
            "input_fidelity",
            "invalid_input_fidelity_model",
        )
    stream = flag(body, "stream")
    partials = whole(body, "partial_images", 0, PARTIALS_MAX, 0)
    if partials and not stream:
        raise bad_request("Partial images are only supported with streaming.", "partial_images")
    if stream and (body.get("n") or 1) > 1:
        raise bad_request("Streaming is only supported with n=1.", "n")
    seed = _seed(model, prompt)
    # What the provider's own choice follows is not published; both are taken by a hash.
    quality = choice(body, "quality", (*QUALITIES, "auto"), "auto")
    if quality == "auto":
        quality = QUALITIES[seed % 3]
    size = choice(body, "size", _SIZES_GPT, "auto")
    return {
        "size": (SQUARE, PORTRAIT, LANDSCAPE)[seed // 3 % 3] if size == "auto" else _pixels(size),
        "quality": quality,
        "transparent": background == "transparent",
        "stream": stream,
        "partial_images": partials,
        "high_fidelity": fidelity == "high",
    }


def _input_sizes(images: list[Upload], model: Model) -> tuple[tuple[int, int], ...]:
    """Sizes of the pictures given. Raises ProviderError (400) for what is none."""
    if not images:
        raise missing_parameter("image")
    most = 1 if model.name == "dall-e-2" else INPUTS_MAX
    if len(images) > most:
        raise bad_request(
            f"Invalid 'image': array too long. Expected an array with maximum length {most}, but "
            f"got an array with length {len(images)} instead.",
            "image",
            "array_above_max_length",
        )
    sizes = []
    for number, image in enumerate(images, start=1):
        size = size_of_data(image.data)
        if model.name == "dall-e-2":
            _check_square_png(image, size)
        elif image.content_type not in _INPUT_KINDS:
            raise bad_request(
                f"Invalid file 'image': unsupported mimetype ('{image.content_type}'). Supported "
                "file formats are 'image/jpeg', 'image/png', and 'image/webp'.",
                "image",
                "unsupported_file_mimetype",
            )
        if size is None or len(image.data) > INPUT_BYTES_MAX or image.data[:3] == b"GIF":
            raise bad_request(
                f"Invalid image file or mode for image {number}, please check your image file.",
                "image",
                "invalid_image_file",
            )
        sizes.append(size)
    return tuple(sizes)


def _check_square_png(image: Upload, size: tuple[int, int] | None) -> None:
    if not image.data.startswith(b"\x89PNG") or len(image.data) >= INPUT_BYTES_MAX_DALLE:
        raise bad_request("Uploaded image must be a PNG and less than 4 MB.", "image")
    if size is not None and size[0] != size[1]:
        raise bad_request("Uploaded image must be square.", "image")


def _check_mask(mask: Upload, size: tuple[int, int]) -> None:
    if not mask.data.startswith(b"\x89PNG") or len(mask.data) >= INPUT_BYTES_MAX_DALLE:
        raise bad_request("Uploaded mask must be a PNG and less than 4 MB.", "mask")
    if size_of_data(mask.data) != size:
        raise bad_request(
            "Invalid mask image format - mask size does not match image size.",
            "mask",
            "invalid_mask_image_format",
        )


def _pixels(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def _seed(model: Model, prompt: str) -> int:
    digest = blake2b(f"{model.snapshot}\n{prompt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
