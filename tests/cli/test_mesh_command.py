"""`pose-rt mesh` on a stand-in body with the file layout of SMPL, and the reading of the publisher's file."""

import json
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_rt.cli.app import run  # noqa: E402
from pose_rt.core.motion_sets import GYMNASTICS18, MOTION_SETS, NBA16  # noqa: E402
from pose_rt.core.skeleton import COCO17, H36M17  # noqa: E402
from pose_rt.core.smpl_joints import face_forward, to_smpl22  # noqa: E402
from pose_rt.io.motion_results import GeneratedMotions, write_npz  # noqa: E402
from pose_rt.models.mas.mesh import bare, fit_motion  # noqa: E402
from pose_rt.models.mas.smpl_file import load_smpl  # noqa: E402
from tests.training.standin_smpl import standin_arrays, write_standin  # noqa: E402
from training.mas import convert_smpl  # noqa: E402

UPRIGHT = {  # x right, y up, z away, of a person who faces the viewer: their left is at the right of the picture
    "pelvis": (0, 0), "hip": (0.1, -0.05), "knee": (0.1, -0.5), "ankle": (0.1, -0.9), "shoulder": (0.18, 0.45), "elbow": (0.45, 0.45),
    "wrist": (0.7, 0.45), "neck": (0, 0.5), "thorax": (0, 0.5), "spine": (0, 0.25), "nose": (0, 0.6), "head": (0, 0.7), "eye": (0.03, 0.62),
    "ear": (0.07, 0.61), "ball": (0.5, -0.8),
}  # fmt: skip


def person(joints: tuple[str, ...], frames: int = 3) -> np.ndarray:
    """Somebody upright who raises the left arm, (T, J, 3)."""
    out = np.zeros((frames, len(joints), 3), np.float32)
    for j, name in enumerate(joints):
        side = -1 if name.startswith("right_") else 1
        part = name.removeprefix("left_").removeprefix("right_")
        part = "pelvis" if part == "hip" and name == "hip" else part
        x, y = UPRIGHT[part]
        out[:, j, :2] = side * x, y
        if name in ("left_elbow", "left_wrist"):
            out[:, j, 1] += np.linspace(0, 0.1, frames)
    return out


def results(folder: Path, values: np.ndarray, name: str = "cmu17") -> Path:
    lengths = np.full(len(values), values.shape[1])
    return write_npz(folder / "results.npz", GeneratedMotions(values, lengths, MOTION_SETS[name], {}))


def test_a_motion_becomes_bodies_files_and_an_animation(tmp_path: Path) -> None:
    body = write_standin(tmp_path / "body.npz")
    path = results(tmp_path, np.stack([person(H36M17.joints), person(H36M17.joints)]))
    assert run(["mesh", str(path), "--smpl", str(body), "--index", "1", "--iterations", "6", "--out", str(tmp_path / "o")]) == 0
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["result_1.glb", "result_1_obj", "result_1_smpl_params.npz"]
    with np.load(tmp_path / "o" / "result_1_smpl_params.npz", allow_pickle=False) as saved:
        shapes = {name: saved[name].shape for name in saved.files}
        vertices = saved["vertices"].transpose(2, 0, 1)
    assert shapes["motion"] == (25, 6, 3) and shapes["thetas"] == (24, 6, 3) and shapes["vertices"] == (144, 3, 3)
    lines = (tmp_path / "o" / "result_1_obj" / "frame002.obj").read_text().splitlines()
    points = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    np.testing.assert_allclose(points, vertices[2], atol=1e-6)  # six decimals
    assert sum(line.startswith("f ") for line in lines) == 192
    check_animation(tmp_path / "o" / "result_1.glb", vertices)


def check_animation(path: Path, vertices: np.ndarray) -> None:
    """Play the file by the rules of glTF: skin with joint matrices, compare with the posed body (its pose corrections are 1 mm)."""
    data = path.read_bytes()
    magic, version, size, length, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, size, kind) == (b"glTF", 2, len(data), b"JSON")
    content = json.loads(data[20 : 20 + length])
    binary = data[28 + length :]

    def values(index: int) -> np.ndarray:
        accessor = content["accessors"][index]
        view = content["bufferViews"][accessor["bufferView"]]
        dtype = {5126: np.float32, 5125: np.uint32, 5123: np.uint16}[accessor["componentType"]]
        flat = np.frombuffer(binary, dtype, view["byteLength"] // np.dtype(dtype).itemsize, view["byteOffset"])
        return flat.reshape(accessor["count"], -1)

    animation, nodes = content["animations"][0], content["nodes"]
    mesh, inverse = content["meshes"][0]["primitives"][0], values(content["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4)
    parent = {child: i for i, node in enumerate(nodes) for child in node.get("children", ())}
    for frame in range(len(vertices)):
        world: dict[int, np.ndarray] = {}
        moved = {(c["target"]["node"], c["target"]["path"]): values(animation["samplers"][c["sampler"]]["output"])[frame]
                 for c in animation["channels"]}  # fmt: skip
        for j in range(24):
            x, y, z, w = moved[j, "rotation"]
            local = np.eye(4)
            local[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                             [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                             [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]  # fmt: skip
            local[:3, 3] = moved.get((j, "translation"), nodes[j]["translation"])
            world[j] = world[parent[j]] @ local if j in parent else local
        joints, weights = values(mesh["attributes"]["JOINTS_0"]), values(mesh["attributes"]["WEIGHTS_0"])
        points = np.concatenate([values(mesh["attributes"]["POSITION"]), np.ones((144, 1))], 1)
        skinned = np.zeros((144, 3))
        for k in range(4):
            matrices = np.stack([world[int(j)] @ inverse[int(j)].T for j in joints[:, k]])
            skinned += weights[:, k : k + 1] * np.einsum("nij,nj->ni", matrices, points)[:, :3]
        np.testing.assert_allclose(skinned, vertices[frame], atol=0.02)


@pytest.mark.parametrize("skeleton", [NBA16, GYMNASTICS18, H36M17, COCO17], ids=lambda s: s.name)
def test_every_skeleton_is_fitted_upright(tmp_path: Path, skeleton) -> None:  # type: ignore[no-untyped-def]
    smpl = load_smpl(write_standin(tmp_path / "body.npz"))
    found = fit_motion(smpl, person(skeleton.joints), skeleton, iterations=5)
    assert found.error < 0.12
    head, feet = found.vertices[:, 15 * 6 : 16 * 6, 1].mean(), found.vertices[:, 7 * 6 : 9 * 6, 1].mean()
    assert head - feet > 1.2
    left, right = found.vertices[0, 16 * 6 : 17 * 6].mean(0), found.vertices[0, 17 * 6 : 18 * 6].mean(0)
    assert left[0] - right[0] > 0.25  # they face the viewer: their left is at the right


def test_joints_alone_are_the_bodys_joints(tmp_path: Path) -> None:
    body = load_smpl(write_standin(tmp_path / "body.npz")).body
    pose, betas = 0.3 * torch.randn(2, 72), torch.randn(2, 10)
    torch.testing.assert_close(bare(body)(pose, betas)[1], body(pose, betas)[1], atol=1e-5, rtol=1e-5)


def test_the_motion_is_turned_to_face_the_viewer_and_nothing_else() -> None:
    motion = to_smpl22(person(H36M17.joints), H36M17)
    c, s = np.cos(2.0), np.sin(2.0)
    turned = motion @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    np.testing.assert_allclose(face_forward(turned), face_forward(motion), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "more", "sentence"),
    [
        ({"J_regressor": np.zeros((55, 144))}, [], "has 55 joints, so it is SMPL-X; wanted SMPL with 24"),
        ({"gender": np.array("female")}, [], "is the female body, wanted the neutral one; give the other file, or --gender female"),
        ({"weights": np.zeros((3, 24))}, [], "weights has shape (3, 24), wanted (144, 24)"),
        ({"kintree_table": np.zeros((2, 24)) + 30}, [], "kintree_table does not name the parent"),
        ({}, ["--skeleton", "horse"], "--skeleton is 'horse', wanted one of nba, gymnastics, h36m17, coco17"),
        ({}, ["--skeleton", "nba"], "motions have shape (1, 3, 17, 3), wanted (B, T, 16, 3) for nba"),
        ({}, ["--index", "4"], "--index is 4, '"),
        ({}, ["--smpl", "gone.npz"], "'gone.npz' does not exist, wanted a SMPL body; SMPL may not be handed on"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], change, more, sentence) -> None:  # type: ignore[no-untyped-def]
    path, body = results(tmp_path, person(H36M17.joints)[None]), write_standin(tmp_path / "body.npz", **change)
    assert run(["mesh", str(path), "--smpl", str(body), "--iterations", "1", *more]) in (1, 2)
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not list(tmp_path.glob("result_*"))


def test_existing_results_pickles_and_other_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, body = results(tmp_path, person(H36M17.joints)[None]), write_standin(tmp_path / "body.npz")
    (tmp_path / "result_0.glb").write_bytes(b"mine")
    assert run(["mesh", str(path), "--smpl", str(body)]) == 1 and "exists already; add --overwrite" in capsys.readouterr().err
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(b"x")
    assert run(["mesh", str(path), "--smpl", str(tmp_path / "SMPL_NEUTRAL.pkl"), "--overwrite"]) == 2
    assert "python -m training.mas.convert_smpl" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert run(["mesh", str(tmp_path / "other.npz"), "--smpl", str(body), "--overwrite"]) == 1
    assert "does not hold generated motions (its arrays: a)" in capsys.readouterr().err
    (tmp_path / "results.npy").write_bytes(b"x")
    assert run(["mesh", str(tmp_path / "results.npy"), "--smpl", str(body), "--overwrite"]) == 2
    assert "is a pickle, which is not read; give the file beside it" in capsys.readouterr().err


def published_pickle(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The arrays as the publisher pickles them: chumpy arrays for shapes, a sparse matrix for the joints, integers unsigned."""

    from scipy import sparse

    module = types.ModuleType("chumpy.ch")
    ch = type("Ch", (), {"__module__": "chumpy.ch"})
    module.Ch = ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    arrays = {name: value for name, value in standin_arrays().items() if name in convert_smpl.WANTED}
    shapes = ch()
    shapes.__dict__.update(x=arrays["shapedirs"], _dirty_vars=None)
    table = arrays["kintree_table"].astype(np.uint32)
    content = {**arrays, "shapedirs": shapes, "J_regressor": sparse.csc_matrix(arrays["J_regressor"]), "kintree_table": table}
    return np.array(content, object).dumps()


def test_the_publishers_file_is_converted_without_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "SMPL_FEMALE.pkl", tmp_path / "female.npz"
    source.write_bytes(published_pickle(monkeypatch))
    np.savez(tmp_path / "mean.npz", pose=np.full(72, 0.1), shape=np.ones(10))
    assert convert_smpl.main([str(source), "--mean", str(tmp_path / "mean.npz"), "--out", str(out)]) == 0
    found = load_smpl(out, "female")
    np.testing.assert_allclose(found.body.shape_dirs.numpy(), standin_arrays()["shapedirs"], atol=1e-6)
    assert found.body.joint_regressor is not None
    np.testing.assert_allclose(found.body.joint_regressor.numpy(), standin_arrays()["J_regressor"], atol=1e-6)
    assert found.body.parents[1:4] == (0, 0, 0) and float(found.mean_pose[5]) == pytest.approx(0.1)
    assert len(found.notes) == 1 and "mixture of poses" in found.notes[0]


def test_code_in_a_body_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, evil in enumerate((b"cos\nsystem\n(S'touch owned'\ntR.", b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\ncnumpy\nndarray\nNtR.")):
        path = tmp_path / f"{i}.pkl"
        path.write_bytes(evil)
        assert convert_smpl.main([str(path), "--out", str(tmp_path / "o.npz")]) == 1
        assert "it may carry code and is not read" in capsys.readouterr().err
    assert convert_smpl.main([str(tmp_path / "gone.pkl"), "--out", str(tmp_path / "o.npz")]) == 2
    assert "https://smpl.is.tue.mpg.de" in capsys.readouterr().err
