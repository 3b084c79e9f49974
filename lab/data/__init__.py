"""Image sets, splits, readers of archives, augmentation; ``datasets.py`` lists the data sets by name."""
