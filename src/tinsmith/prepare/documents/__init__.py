"""From a folder of documents to examples: passages, a teacher that is asked about them, and what is kept."""
