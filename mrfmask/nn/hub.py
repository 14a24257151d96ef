"""Networks in folders and on the Hugging Face hub: weights as safetensors, arguments as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors
import safetensors.torch
import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from mrfmask.files import reason, write_whole

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
CARD_TEMPLATE = """---
{{ card_data }}
---

A network that makes an Ising model of an image, saved by mrfmask: `config.json` has its arguments,
`model.safetensors` its weights. `from_pretrained` of its class in `mrfmask.nn` loads it.
"""
# In the header of the weights: the arguments that they were saved with.
CONFIG_KEY = "config"


class Pretrained(PyTorchModelHubMixin):
    """What a network gets that can be saved to a folder, and loaded from one or from the hub.

    A folder holds ``config.json``, the arguments of the constructor, and ``model.safetensors``, the
    weights; each file appears whole or not at all, and nothing is ever unpickled. The weights
    remember their arguments, so that files of two networks are not taken for one.
    ``push_to_hub("owner/name")`` uploads such a folder.

    Attributes:
        config_leaves_out: arguments of the constructor that JSON cannot hold: modules.
    """

    config_leaves_out: ClassVar[tuple[str, ...]] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that the network was made with, those that are modules left out."""
        kept = self._hub_mixin_config.items()
        return {name: value for name, value in kept if name not in self.config_leaves_out}

    def save_pretrained(
        self,
        folder: str | os.PathLike,
        *,
        half: bool = False,
        config: None = None,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Writes the network to a folder, with a model card unless the folder has a README.md.

        Args:
            folder: made if it does not exist; files of an earlier network are replaced.
            half: store float16, in half the space and with 3 digits; loading gives float32 again.
            config: leave it out: the arguments of the constructor are written.
            model_card_kwargs: what to put into the template of the model card.

        Raises:
            TypeError: `half` is no bool, or there is a config.
            ValueError: `folder` is a file, or a weight is too large for float16.
            OSError: the disk is full, or the folder cannot be written to.
        """
        folder = Path(folder)
        if not isinstance(half, bool):
            raise TypeError(f"half must be a bool; got {type(half).__name__}. Use True or False.")
        if config is not None:
            raise TypeError(
                f"config must be left out; got {type(config).__name__}. The arguments of the "
                "constructor are written."
            )
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"folder must not be a file; got {str(folder)!r}. Name a folder, new or old."
            )
        text = json.dumps(self.config, indent=2, sort_keys=True)
        header = {"format": "pt", CONFIG_KEY: json.dumps(self.config, sort_keys=True)}
        weights = _in_order(safetensors.torch.save(self._weights(half), header))
        card = str(self.generate_model_card(**(model_card_kwargs or {})))
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, lambda file: file.write(weights))
        if not (folder / CARD).exists():
            write_whole(folder / CARD, lambda file: file.write(card.encode()))
        # Last, because a folder without it is no network yet.
        write_whole(folder / CONFIG, lambda file: file.write(text.encode()))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike,
        *,
        map_location: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **modules: torch.nn.Module,
    ) -> Self:
        """Makes the network that a folder, or a model on the hub, holds; in evaluation mode.

        Args:
            folder: a folder that `save_pretrained` wrote, or "owner/name" on the hub. A folder
                that exists is taken first.
            map_location: device of the network.
            revision: branch, tag or commit on the hub.
            token: for private models on the hub.
            cache_dir: where downloads are kept.
            force_download: download again what the cache has.
            local_files_only: take from the cache alone, without a network connection.
            **modules: arguments of the constructor that are modules, e.g. ``features``.

        Raises:
            TypeError: an argument that `config.json` decides.
            FileNotFoundError: no such folder, no such model on the hub, or a file is missing.
            ValueError: a file is broken, or config and weights do not belong together.
        """
        for name in modules:
            if name not in cls.config_leaves_out:
                raise TypeError(
                    f"modules must be among {', '.join(cls.config_leaves_out) or 'none'}; got "
                    f"{name!r}. {CONFIG} decides the other arguments."
                )
        options = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
        }
        path = _path_of(folder, CONFIG, options)
        config = cls._read_config(path)
        try:
            net = cls(**config, **modules)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{CONFIG} must hold arguments of {cls.__name__}; got {str(path)!r}: {error}"
            ) from error
        net._load_weights(_path_of(folder, WEIGHTS, options), config)
        return net.to(map_location).eval()

    @classmethod
    def _read_config(cls, path: Path) -> dict[str, Any]:
        try:
            config = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(
                f"{CONFIG} must be JSON; got {str(path)!r}: {reason(error)}. Save the network "
                "again."
            ) from error
        known = [n for n in cls._hub_mixin_init_parameters if n not in cls.config_leaves_out]
        unknown = sorted(set(config) - set(known[1:])) if isinstance(config, dict) else [config]
        if unknown:
            raise ValueError(
                f"{CONFIG} must hold arguments of {cls.__name__}; got {str(path)!r} with "
                f"{unknown[0]!r}. Load it with the class and the mrfmask that wrote it."
            )
        return config

    def _weights(self, half: bool) -> dict[str, torch.Tensor]:
        """Copies on the CPU, without shared memory, which safetensors refuses."""
        weights = {}
        for name, value in self.state_dict().items():
            weights[name] = value.detach().to("cpu", copy=True).contiguous()
            if half and value.is_floating_point():
                weights[name] = weights[name].half()
                if not weights[name].isfinite().all():
                    raise ValueError(
                        f"half must be False for weights beyond 65504; got {name} with "
                        f"{value.abs().max().item():.3g}. Save it in full precision."
                    )
        return weights

    def _load_weights(self, path: Path, config: dict[str, Any]) -> None:
        try:
            with safetensors.safe_open(path, "pt") as file:
                saved_with = (file.metadata() or {}).get(CONFIG_KEY)
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{WEIGHTS} must be a safetensors file; got {str(path)!r}: {reason(error)}. Save "
                "the network again."
            ) from error
        # Weights that another program wrote do not remember.
        if saved_with not in (None, json.dumps(config, sort_keys=True)):
            raise ValueError(
                f"{WEIGHTS} must belong to the {CONFIG} beside it; got {str(path)!r}, saved with "
                f"{saved_with}. Save the network again."
            )
        expected = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        got = {name: tuple(value.shape) for name, value in weights.items()}
        for name in sorted(expected.keys() | got.keys()):
            if got.get(name) != expected.get(name):
                raise ValueError(
                    f"{WEIGHTS} must hold {name} of shape {expected.get(name)}; got "
                    f"{got.get(name)} in {str(path)!r}. Check {CONFIG} and the modules."
                )
        self.load_state_dict(weights)


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: the library's order changes from run to run."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    # As long as before: places of tensors count from its end.
    return content[:8] + header.encode().ljust(size) + content[8 + size :]


def _path_of(folder: str | os.PathLike, name: str, options: dict[str, Any]) -> Path:
    """A file of a local folder, or of a model on the hub by way of the cache."""
    local = Path(folder)
    if local.is_dir():
        if not (local / name).is_file():
            raise FileNotFoundError(
                f"folder must hold {CONFIG} and {WEIGHTS}; got {str(folder)!r} without {name}. "
                "Name a folder that save_pretrained wrote."
            )
        return local / name
    if local.exists():
        raise ValueError(f"folder must not be a file; got {str(folder)!r}. Name its folder.")
    if str(folder).count("/") != 1 or local.is_absolute():
        raise FileNotFoundError(
            "folder must be a folder that exists, or owner/name of a model on the hub; got "
            f"{str(folder)!r}. Check the spelling."
        )
    try:
        return Path(hf_hub_download(str(folder), name, **options))
    # OSError: no connection, or not in the cache.
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise FileNotFoundError(
            "folder must be a folder that exists, or owner/name of a model on the hub; got "
            f"{str(folder)!r}: {reason(error)}. Check the spelling."
        ) from error
