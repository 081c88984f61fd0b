"""What is normal for figures of the evidence: over many sensors, and for this one. [ours]

A figure of one sensor is drawn around the mean of that sensor, and the means of sensors around a common one. Some
images of one sensor, together with the prior over sensors, tell what to expect of its next image, as in a
random-effects model. Without a profile the prior alone is what to expect.

B batch, F figures.
"""
from __future__ import annotations

import torch
from torch import nn, Tensor

#: Reference images of one place are much alike: any number of them tells as much as so many independent ones.
EFFECTIVE_IMAGES = 4.0
#: The variance between images of one sensor is worth so many images where nothing was measured.
PRIOR_IMAGES = 5.0


class Normality(nn.Module):
    """Expected mean and variance of figures.

    Args:
        figures: F.
    """

    mean: Tensor
    between: Tensor
    within: Tensor
    expected: Tensor
    variance: Tensor

    def __init__(self, figures: int):
        super().__init__()
        self.register_buffer('mean', torch.zeros(figures))      # over sensors
        self.register_buffer('between', torch.ones(figures))    # variance of the sensors' means
        self.register_buffer('within', torch.ones(figures))     # variance between images of one sensor
        # What is expected now: without a profile the prior, and so it is saved.
        self.register_buffer('expected', torch.zeros(figures))
        self.register_buffer('variance', torch.full((figures,), 2.0))

    @torch.no_grad()
    def set_prior(self, mean: Tensor, between: Tensor, within: Tensor) -> None:
        """Set what is normal over sensors, (F,) each, and expect that."""
        self.mean.copy_(mean)
        self.between.copy_(between)
        self.within.copy_(within)
        self.forget()

    @property
    def prior(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of an image of any sensor, (F,) each."""
        return self.mean, self.between + self.within

    @torch.no_grad()
    def forget(self) -> None:
        """Expect what is normal over sensors."""
        self.expected.copy_(self.mean)
        self.variance.copy_(self.between + self.within)

    @torch.no_grad()
    def learn(self, mean: Tensor, deviation: Tensor, images: int) -> None:
        """Expect what is normal for one sensor.

        Args:
            mean: of its reference images, (F,).
            deviation: of them, (F,).
            images: how many there are.
        """
        expected, variance = self.posterior(mean, deviation.square(), float(images))
        self.expected.copy_(expected)
        self.variance.copy_(variance)

    def posterior(self, mean: Tensor, variance: Tensor, images: Tensor | float) -> tuple[Tensor, Tensor]:
        """What to expect of the next image of a sensor.

        Args:
            mean: of its reference images, (..., F).
            variance: likewise.
            images: how many there are, broadcast.

        Returns:
            Mean and variance, (..., F).
        """
        own = 0.5 * images
        within = (variance * own + self.within * PRIOR_IMAGES) / (own + PRIOR_IMAGES)
        count = min(EFFECTIVE_IMAGES, images) if isinstance(images, float) else images.clamp(max=EFFECTIVE_IMAGES)
        precision = count / within + 1 / self.between
        return (mean * count / within + self.mean / self.between) / precision, within + 1 / precision

    def forward(self, figures: Tensor) -> tuple[Tensor, Tensor]:
        """How far figures lie from what is expected, and from what is normal over sensors, in standard deviations.

        (B, F) -> twice (B, F).
        """
        return ((figures - self.expected) * self.variance.rsqrt(),
                (figures - self.mean) * (self.between + self.within).rsqrt())
