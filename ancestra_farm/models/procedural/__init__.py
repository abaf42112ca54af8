"""Pictures and clips of the film's images from numpy and OpenCV, with faults of known kinds planted at known rates."""
