"""Mining: hard negatives and near-duplicates, found by search."""
