"""Depth completion: where to measure, and what the measured depths say about all others.

A frame is a picture, the depth behind its pixels, and where depth was measured at all; that
validity is kept from the file to the figure. `open_frames` gives frames of files, of KITTI and of
synthetic scenes, `split_frames` keeps places apart.
"""

from mrfmask.depth.augment import augment_frame
from mrfmask.depth.budget import budget_of, measure
from mrfmask.depth.frames import Frame, FrameBatch, Frames, JoinedFrames, collate_frames
from mrfmask.depth.sources import open_frames
from mrfmask.depth.splits import Split, split_frames
from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.depth.zeroed import Completion, ZeroedFrames

__all__ = [
    "Completion",
    "Frame",
    "FrameBatch",
    "Frames",
    "JoinedFrames",
    "Split",
    "SyntheticFrames",
    "ZeroedFrames",
    "augment_frame",
    "budget_of",
    "collate_frames",
    "measure",
    "open_frames",
    "split_frames",
]
