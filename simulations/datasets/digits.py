"""scikit-learn's handwritten digits as characters: what there is when Omniglot is not."""

import numpy as np
from PIL import Image

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.omniglot import SIDE, CharacterImages

INK = 16  # the data's own scale: 0 is paper, 16 is ink


def load_digits() -> CharacterImages:
    """Return ten digits as characters, `(10, m, 28, 28)`; writing m of a digit counts as drawer m.

    The data (Alpaydin & Kaynak 1998, UCI, as shipped with scikit-learn) are 8x8 and are enlarged
    bilinearly. Every digit keeps as many images as the rarest has.

    Raises:
        DatasetError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DatasetError(
            "digits: scikit-learn is not installed; pip install 'tinyfleet[simulation]'"
        ) from error
    bundle = datasets.load_digits()
    small = np.rint(bundle.images * (255 / INK)).astype(np.uint8)
    large = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            for image in small
        ]
    )
    each = int(np.bincount(bundle.target).min())
    images = np.stack([large[bundle.target == digit][:each] for digit in range(10)])
    return CharacterImages(
        images, ("digits",) * 10, f"scikit-learn's digits, 10 classes x {each} images of 8x8"
    )
