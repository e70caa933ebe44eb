"""Results of trials: statistics, figures, the report and the export bundle."""
