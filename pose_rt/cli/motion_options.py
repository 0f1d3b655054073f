"""What `generate motion2d` and `generate motion3d` share: the model, the lengths, the folder that results go to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.io.motion_results import GeneratedMotions
    from pose_rt.stages.motion import MotionModel

_CHECKOUT = "run from a checkout with its extra: pip install -e '.[train]', or export the checkpoint once with: python -m exporters mas"


@dataclass(frozen=True)
class MotionOptions:
    """What is sampled, and where it goes."""

    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results.")]
    checkpoint: Annotated[Path | None, typer.Option(metavar="FILE", help="Own model: an exported .onnx, or a torch checkpoint.")] = None
    model: Annotated[str, typer.Option(help="2D motion model of the zoo.")] = "motion2d_s"
    num_samples: Annotated[int, typer.Option(help="How many motions.")] = 10
    motion_length: Annotated[float | None, typer.Option(help="Seconds. Default: 6, or with --use-data the data's lengths.")] = None
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same motions, whatever their number.")] = 0
    batch_size: Annotated[int, typer.Option(help="Motions at once; those that are done are kept after Ctrl-C.")] = 1
    use_data: Annotated[bool, typer.Option("--use-data", help="Lengths of clips of the model's data set (--datapath).")] = False
    datapath: Annotated[Path | None, typer.Option(metavar="DIR", help="The data set's folder, for --use-data.")] = None
    show_input_motions: Annotated[bool, typer.Option("--show-input-motions", help="Films of these clips too.")] = False
    films: Annotated[bool, typer.Option("--films/--no-films", help="A film of every motion.")] = True
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, cuda or tensorrt.")] = "auto"
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results that lie in the folder.")] = False

    def check(self) -> None:
        """Refuse what cannot work before a model is opened.

        Raises:
            UsageError: no samples, or options that do not go together.
        """
        from pose_rt.errors import UsageError

        for name, value in (("--num-samples", self.num_samples), ("--batch-size", self.batch_size)):
            if value < 1:
                raise UsageError(f"{name} is {value}, wanted at least 1")
        if self.use_data and self.datapath is None:
            raise UsageError("--use-data needs the data set", "name its folder with --datapath")
        if self.show_input_motions and not self.use_data:
            raise UsageError("--show-input-motions has no motions to show", "add --use-data and --datapath")


def open_motion_model(options: MotionOptions) -> MotionModel:
    """The model of the zoo, an exported file, or a torch checkpoint.

    Raises:
        UsageError: no such file, or torch is not installed for a checkpoint.
    """
    from pose_rt import zoo
    from pose_rt.backends import open_backend
    from pose_rt.errors import UsageError
    from pose_rt.stages.motion import MotionModel, Network

    path, network = options.checkpoint, None
    if path is not None and not path.is_file():
        raise UsageError(f"'{path}' does not exist, wanted a 2D motion model", "train one with: python -m training.mas.train")
    if path is not None and path.suffix != ".onnx":
        try:
            from training.mas.load import TorchNetwork, load_motion_model
        except ImportError as error:
            raise UsageError(f"a torch checkpoint needs torch and the folder training/ ({error})", _CHECKOUT) from error
        network = TorchNetwork(load_motion_model(path))
        return MotionModel(network)
    opened: Network = open_backend(zoo.find(options.model) if path is None else path, backend=options.backend, threads=options.threads)
    try:
        return MotionModel(opened)
    except BaseException:
        opened.close()
        raise


def lengths_of(options: MotionOptions, model: MotionModel) -> tuple[np.ndarray, GeneratedMotions | None]:
    """(B,) frames of the motions to make; with --use-data those of clips of the data set, which come too, in the data's unit.

    Raises:
        UsageError: a length that the model does not know, or the data sets cannot be read here.
    """
    import numpy as np

    if not options.use_data:
        seconds = 6.0 if options.motion_length is None else options.motion_length
        return np.full(options.num_samples, model.frames(seconds)), None
    from pose_rt.errors import UsageError
    from pose_rt.io.motion_results import GeneratedMotions

    try:
        from training.mas.sources import open_source
    except ImportError as error:
        raise UsageError(f"--use-data reads data sets with the folder training/ ({error})", _CHECKOUT) from error
    source = open_source(model.spec.name, str(options.datapath), "train", seed=options.seed)
    batch = source.batch(np.random.default_rng(options.seed), options.num_samples)
    lengths = np.minimum(batch.lengths, model.longest)
    if options.motion_length is not None:
        lengths = np.minimum(lengths, model.frames(options.motion_length))
    mean, std = source.normaliser.planes
    rows = (batch.motion * std + mean).transpose(0, 3, 1, 2)
    shown = np.ascontiguousarray(model.spec.joints_of(rows).transpose(0, 2, 3, 1))
    return lengths, GeneratedMotions(shown, lengths, model.spec, {})


RESULTS = ("results.npy", "results.npz", "result_*.mp4", "result_*.bvh", "result_*.rrd", "input_motions_*.mp4")


def prepare_folder(out: Path, overwrite: bool) -> Path:
    """Make the folder; earlier results in it are removed with `overwrite`, and nothing else is.

    Raises:
        OutputError: it holds results, is no folder, or cannot be made.
    """
    from pose_rt.errors import OutputError

    if out.exists() and not out.is_dir():
        raise OutputError(f"'{out}' is a file, wanted a folder", "choose another --out")
    found = [path for pattern in RESULTS for path in sorted(out.glob(pattern))]
    if found and not overwrite:
        raise OutputError(f"'{out}' holds results already ({found[0].name})", "add --overwrite or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in found:
            path.unlink()
    except OSError as error:
        raise OutputError(f"the folder '{out}' cannot be written: {error.strerror}", "choose another --out") from error
    return out
