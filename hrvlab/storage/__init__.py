"""Storage: datasets and their schemas, ledgers of finished units, images, archives."""
