"""Where each task's files lie, and how its people are cut out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pose_rt.errors import InputError

from .annotations import Annotations
from .coco import read_coco
from .config import TrainConfig
from .h36m import FILES, read_h36m, read_mpii
from .mtfl import read_mtfl
from .transforms import AUGMENTATIONS, CropTransform


@dataclass(frozen=True)
class Places:
    """What the command line says of the files.

    Attributes:
        data: folder of the data set.
        annotations: of the people to use, in place of the standard file.
        images: folder of the pictures, in place of the standard one.
        category: of one's own annotations, where several have keypoints.
    """

    data: Path
    annotations: Path | None = None
    images: Path | None = None
    category: str | None = None

    def read(self, task: str, training: bool, joints: int | None = None) -> list[Annotations]:
        """The data sets of a task: COCO, MTFL and one's own are one, Human3.6M is trained with MPII (if that is there).

        Raises:
            InputError: a file is missing or in another layout.
        """
        if not self.data.is_dir():
            raise InputError(f"{self.data}: no such folder", f"give the folder of the data set ({task}) with --data")
        if task == "coco":
            path = self.coco_file(task, training)
            return [read_coco(path, self.images or path.parent.parent, joints=joints or 17)]
        if task == "h36m":
            path = self.annotations or self._first(f"h36m/annotations/{FILES[training]}", f"annotations/{FILES[training]}")
            found = [read_h36m(path, self.images or path.parent.parent / "images")]
            mpii = self.data / "mpii" / "annotations" / "annot_mpii.json"
            if training and mpii.is_file():
                found.append(read_mpii(mpii, mpii.parent.parent / "images"))
            return found
        if task == "mtfl":
            name = f"{'training' if training else 'testing'}.json"
            path = self.annotations or self._first(f"mtfl/{name}", name)
            return [read_mtfl(path, self.images or path.parent)]
        path = self.coco_file(task, training)
        images = self.images or (path.parent / "images" if (path.parent / "images").is_dir() else path.parent)
        return [read_coco(path, images, category=self.category, joints=joints, own=True)]

    def coco_file(self, task: str, training: bool) -> Path:
        """The COCO annotations of a task that has such."""
        if self.annotations is not None:
            return self.annotations
        if task == "coco":
            name = f"person_keypoints_{'train' if training else 'val'}2017.json"
            return self._first(f"coco/annotations/{name}", f"annotations/{name}")
        return self._first(f"{'train' if training else 'val'}.json", "annotations.json")

    def _first(self, *names: str) -> Path:
        """The first of these files that is there, else the first."""
        return next((self.data / name for name in names if (self.data / name).is_file()), self.data / names[0])


def enlargement(task: str) -> float:
    """Of a person's box."""
    return 1.25 if task in ("coco", "images") else 1.0


def transform_for(config: TrainConfig, pairs: tuple[tuple[int, int], ...], *, training: bool, mpii: bool = False) -> CropTransform:
    """The crop of a task."""
    task = config.task
    return CropTransform(
        config.image, pairs, AUGMENTATIONS[task] if training else None, enlarge=1.25 if mpii else enlargement(task),
        whole=task == "mtfl", inside_only=task in ("mtfl", "h36m"),
    )  # fmt: skip


def parts_for(config: TrainConfig, found: list[Annotations], *, training: bool) -> list[tuple[Annotations, CropTransform]]:
    """Data sets with their transforms; the second of Human3.6M's is MPII."""
    return [(a, transform_for(config, a.pairs, training=training, mpii=i > 0)) for i, a in enumerate(found)]
