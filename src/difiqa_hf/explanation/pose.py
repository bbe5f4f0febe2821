"""Head pose from five points."""

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.alignment import ARCFACE_TEMPLATE, eye_distance

# The five points of a frontal face in space, in units of the distance between the eyes: x to the right, y down, z away
# from the camera. x and y are the ArcFace template's; the depths (the nose stands out by .43, the mouth by .03) are
# rough values of adult faces, which is why angles are estimates.
_DEPTHS = (0.0, 0.0, -0.43, -0.03, -0.03)
FACE = np.column_stack([ARCFACE_TEMPLATE / eye_distance(ARCFACE_TEMPLATE), _DEPTHS])


def head_pose(points: ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, by a scaled orthographic camera (least squares).

    Args:
        points: (5, 2) left eye, right eye, nose tip, left and right mouth corner, as the viewer sees them.

    Returns:
        yaw: positive where the face looks to the right of the image; pitch: where it looks up; roll: where the head is
        tilted clockwise. (0, 0, 0) for the ArcFace template. Estimates: other people's noses are longer.
    """
    flat = np.asarray(points, dtype=float)
    flat, solid = flat - flat.mean(axis=0), FACE - FACE.mean(axis=0)
    projection = np.linalg.lstsq(solid, flat, rcond=None)[0].T  # (2, 3): two rows of the rotation, scaled
    left, _, right = np.linalg.svd(projection, full_matrices=False)
    x, y = left @ right  # the nearest orthonormal rows
    z = np.cross(x, y)
    yaw = np.arctan2(-x[2], z[2])
    pitch = np.arcsin(np.clip(y[2], -1, 1))
    roll = np.arctan2(y[0], y[1])
    return tuple(float(angle) for angle in np.degrees((yaw, pitch, roll)))
