"""Words of the report, for a reader who is a radiologist and not a statistician."""

from __future__ import annotations

TERMS = (
    ("AUC", "Area under the ROC curve: the chance that a reader gives a randomly chosen case of "
     "the positive class a higher rating than one of the other class, ties counting one half. "
     "0.5 is guessing, 1 is perfect."),
    ("Balanced accuracy", "Mean of sensitivity and specificity; the AUC of the yes-or-no verdict. "
     "Guessing gives 0.5 whatever the mix of the classes."),
    ("Calibration", "Whether stated probabilities are met: of the tumors called 70 % likely "
     "synthetic, about 70 % should be synthetic."),
    ("Criterion c", "A reader's leaning in signal detection: above 0 the reader hesitates to call "
     "the positive class, below 0 the reader calls it readily."),
    ("d′", "Ability to separate the classes in signal detection, free of the leaning; 0 is "
     "guessing, 1 is an AUC of about 0.76."),
    ("Degrees of freedom (df)", "How much information the estimated uncertainty rests on. Few "
     "mean wide intervals; ∞ stands for the normal distribution."),
    ("Equivalence margin", "Distance from guessing that was declared beforehand to be too small "
     "to matter."),
    ("Fool rate", "Share of readings of synthetic tumors with the verdict real."),
    ("Holm", "Adjustment of p values when several questions of one family are asked."),
    ("Interval, 90 % and 95 %", "The range of true values that the data do not contradict. The "
     "95 % interval goes with the test for a difference, the 90 % interval with the test for "
     "equivalence."),
    ("Jackknife", "Each case (or patient) is left out in turn; how much the result moves tells its "
     "uncertainty."),
    ("Kappa, AC1, alpha", "Agreement beyond what chance would give: 0 is chance, 1 is perfect. "
     "They differ in how chance is reckoned. Readers who guess agree by chance only."),
    ("MRMC", "Multi-reader multi-case: the analysis takes both the readers and the cases for "
     "samples, so that it speaks about other readers and other cases."),
    ("Naive interval", "An interval that takes every reading for independent although readings "
     "share readers and cases; with several readers far too narrow."),
    ("Obuchowski-Rockette", "The model behind the MRMC intervals: variation between readers, plus "
     "the error that readers share because they read the same cases."),
    ("Positive class", "The class that sensitivity is about, and that ratings grow towards."),
    ("Sensitivity, specificity", "Share of positive cases called positive; share of negative "
     "cases called negative."),
    ("TOST", "Two one-sided tests: equivalence is shown when the true value is neither below nor "
     "above the margin; the same as a 90 % interval within it."),
    ("Visual Turing Test", "Readers judge cases to be real or synthetic without knowing which "
     "they are."),
)  # fmt: skip
REFERENCES = (
    ("DeLong 1988", "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or "
     "more correlated receiver operating characteristic curves. Biometrics 44:837-845."),
    ("Gallas 2009", "Gallas BD, Bandos A, Samuelson FW, Wagner RF. A framework for random-effects "
     "ROC analysis. Commun Stat Theory Methods 38:2586-2603."),
    ("Gwet 2008", "Gwet KL. Computing inter-rater reliability and its variance in the presence of "
     "high agreement. Br J Math Stat Psychol 61:29-48."),
    ("Hautus 1995", "Hautus MJ. Corrections for extreme proportions and their biasing effects on "
     "estimated values of d′. Behav Res Methods 27:46-51."),
    ("Hillis 2007", "Hillis SL. A comparison of denominator degrees of freedom methods for "
     "multiple observer ROC analysis. Stat Med 26:596-619."),
    ("Holm 1979", "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat "
     "6:65-70."),
    ("Obuchowski 1995", "Obuchowski NA, Rockette HE. Hypothesis testing of diagnostic accuracy "
     "for multiple readers and multiple tests. Commun Stat Simul Comput 24:285-308."),
    ("Schuirmann 1987", "Schuirmann DJ. A comparison of the two one-sided tests procedure and the "
     "power approach for assessing the equivalence of average bioavailability. J Pharmacokinet "
     "Biopharm 15:657-680."),
    ("Wilson 1927", "Wilson EB. Probable inference, the law of succession, and statistical "
     "inference. J Am Stat Assoc 22:209-212."),
    ("Wu 2025", "Wu L et al. FreeTumor. Nature Communications 16:11053, "
     "doi 10.1038/s41467-025-66071-6."),
)  # fmt: skip
