"""Imports TAESD as a folder that `autoencoder.weights_folder` takes: config.json, safetensors and a card.

A source is a folder or an id on the hub. A folder may be in the layout of diffusers' AutoencoderTiny, or hold
the authors' own taesd_encoder and taesd_decoder files (.pth or .safetensors).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import httpx
import torch
from torch import Tensor

from storage.atomic import write_bytes, write_json
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.importing.restricted import NEXT_STEP, read_foreign_weights
from worldgen_core.models.card import count_parameters, fill
from worldgen_core.models.taesd import (
    BLOCKS_A_LEVEL,
    CONFIG_FILE,
    NUM_HALVINGS,
    WEIGHTS_FILE,
    Taesd,
    TaesdSettings,
    load_taesd,
)
from worldgen_core.models.weights import write_safetensors

CARD_FILE = "import.json"
HUB = "https://huggingface.co"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
MAX_DOWNLOAD_BYTES = 64 << 20


def import_taesd(source: str, out: Path, *, client: httpx.Client | None = None) -> dict[str, object]:
    """Convert the folder or hub id `source` into the folder `out` and return what its card says.

    Raises: CheckpointError if a file is refused or holds another network; ConfigError if there is no such
    folder and no such id.
    """
    folder = Path(source)
    if folder.is_dir():
        network = _from_folder(folder)
    elif HUB_ID.fullmatch(source):
        out.mkdir(parents=True, exist_ok=True)
        _download(source, out, client or httpx.Client(follow_redirects=True, timeout=60.0))
        network = load_taesd(out)
    else:
        raise ConfigError(
            f"{source}: TAESD",
            expected="a folder with its weights, or an id on the hub such as madebyollin/taesd",
            found="neither",
            next_step="correct the path, or write the id as OWNER/NAME",
        )
    return _write(network, source, out)


def _from_folder(folder: Path) -> Taesd:
    if (folder / CONFIG_FILE).is_file():
        return load_taesd(folder)
    tensors: dict[str, Tensor] = {}
    for part in ("encoder", "decoder"):
        weights = read_foreign_weights(_original_file(folder, part))
        tensors |= {_renamed(part, name): value.float() for name, value in weights.items()}
    last = tensors.get(f"encoder.layers.{2 + NUM_HALVINGS * (1 + BLOCKS_A_LEVEL)}.weight")
    if last is None or last.ndim != 4:
        raise CheckpointError(
            f"{folder}: TAESD",
            expected="the layers of TAESD's encoder",
            found=f"{len(tensors)} tensors, the last layer not among them",
            next_step=NEXT_STEP,
        )
    network = Taesd(TaesdSettings(num_latent_channels=last.shape[0], width=last.shape[1]))
    fill(network, tensors, source=str(folder))
    return network


def _original_file(folder: Path, part: str) -> Path:
    for suffix in (".safetensors", ".pth"):
        path = folder / f"taesd_{part}{suffix}"
        if path.is_file():
            return path
    raise CheckpointError(
        f"{folder}: TAESD's {part}",
        expected=f"{CONFIG_FILE} and {WEIGHTS_FILE}, or taesd_{part}.safetensors or .pth",
        found="none of them",
        next_step=NEXT_STEP,
    )


def _renamed(part: str, name: str) -> str:
    """Their names are bare layer numbers, and the decoder's first layer is the soft clamp."""
    number, _, rest = name.partition(".")
    shift = 1 if part == "decoder" and number.isdigit() else 0
    return f"{part}.layers.{int(number) - shift if number.isdigit() else number}.{rest}"


def _download(name: str, out: Path, client: httpx.Client) -> None:
    """Fetch the two files of an AutoencoderTiny; safetensors only, so nothing on the hub is unpickled."""
    for file_name in (CONFIG_FILE, WEIGHTS_FILE):
        url = f"{HUB}/{name}/resolve/main/{file_name}"
        content = bytearray()
        try:
            with client.stream("GET", url) as response:
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_DOWNLOAD_BYTES:
                        raise _not_fetched(url, f"more than {MAX_DOWNLOAD_BYTES >> 20} MiB")
        except httpx.HTTPError as error:
            raise _not_fetched(url, f"{type(error).__name__}: {error}") from error
        write_bytes(out / file_name, bytes(content))


def _not_fetched(url: str, found: str) -> ConfigError:
    return ConfigError(
        url,
        expected="a file of TAESD on the hub",
        found=found,
        next_step="check the id and the network, or name a folder that holds the files",
    )


def _write(network: Taesd, source: str, out: Path) -> dict[str, object]:
    settings = network.settings
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    write_safetensors(out / WEIGHTS_FILE, tensors, {"format": "pt"})
    per_level = [BLOCKS_A_LEVEL] * NUM_HALVINGS
    config = {
        "_class_name": "AutoencoderTiny",
        "act_fn": "relu",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": settings.num_latent_channels,
        "encoder_block_out_channels": [settings.width] * (NUM_HALVINGS + 1),
        "decoder_block_out_channels": [settings.width] * (NUM_HALVINGS + 1),
        "num_encoder_blocks": [1, *per_level],
        "num_decoder_blocks": [*per_level, 1],
    }
    write_bytes(out / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    card: dict[str, object] = {
        "what": "TAESD (github.com/madebyollin/taesd, MIT)",
        "imported_from": source,
        "num_parameters": count_parameters(network),
        "weights_sha256": hashlib.sha256((out / WEIGHTS_FILE).read_bytes()).hexdigest(),
        "dtype": str(torch.float32).removeprefix("torch."),
    }
    write_json(out / CARD_FILE, card)
    return card
