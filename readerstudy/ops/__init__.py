"""Running the platform: demo supervisor, worker, backup and system checks. No study data."""
