"""Distilling an ensemble of image classifiers, as the number of classes grows: 10, 100, 1,000."""
