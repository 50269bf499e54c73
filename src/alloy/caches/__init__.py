"""The response cache: answers of models in a SQLite file, which later calls get instead of asking again."""
