"""Somebody's notes on loss functions: formulas, what each is for, and a list of PyTorch's names."""

from xloss.claims import figures
from xloss.claims import notes_rules as rules
from xloss.claims.experiments import notes_classification as classes
from xloss.claims.experiments import notes_regression as numbers
from xloss.claims.model import Claim, Seed, decide, each

CLAIMS = (
    Claim(
        id="notes-on-losses/regression-formulas",
        statement="The formulas given for MSE, L1 and SmoothL1.",
        question="Are the formulas for losses between numbers right?",
        torch=numbers.values_torch,
        jax=numbers.values_jax,
        judge=each(rules.formulas("MSE", "L1", "SmoothL1")),
        expected="holds",
        explanation="Computed as written in double precision and compared with float32 on a thousand errors, they "
        "agree within a few units in the last place: MSE {torch[MSE, none: ulps]:.2f} in PyTorch and "
        "{jax[MSE, none: ulps]:.2f} in JAX, L1 {torch[L1, none: ulps]:.2f}, SmoothL1 "
        "{torch[SmoothL1, none: ulps]:.2f}. That is the rounding of float32 itself.",
        faults={
            "a formula without its half": {"SmoothL1, none: ulps": 8e6},
            "a sum that is off": {"L1, sum: ulps": 40.0},
        },
    ),
    Claim(
        id="notes-on-losses/classification-formulas",
        statement="The formulas given for NLL and CrossEntropy, with their weighted means.",
        question="Are the formulas for losses between classes right?",
        torch=classes.values_torch,
        jax=classes.values_jax,
        judge=each(rules.formulas("NLL", "CrossEntropy")),
        expected="holds",
        explanation="Computed as written in double precision, with class weights, they agree with float32 within a "
        "few units in the last place of the largest loss: cross-entropy {torch[CrossEntropy, none: ulps]:.2f} in "
        "PyTorch and {jax[CrossEntropy, none: ulps]:.2f} in JAX, its mean {torch[CrossEntropy, mean: ulps]:.2f} and "
        "{jax[CrossEntropy, mean: ulps]:.2f}. In the mean, w_n is the weight of the class that sample n belongs to.",
        faults={
            "a mean over the number of rows": {"NLL, mean: ulps": 4e6},
            "a formula without its minus": {"CrossEntropy, none: ulps": 2e7},
        },
    ),
    Claim(
        id="notes-on-losses/cross-entropy-as-written",
        statement="CrossEntropy is computed as -ln(e^x_y / sum e^x_c).",
        question="May one compute cross-entropy exactly as its formula is written?",
        torch=classes.overflow_torch,
        jax=classes.overflow_jax,
        judge=each(
            lambda n: decide(
                all(n["formula gives a number"]),
                any(n["formula gives a number"]) and max(n["cross_entropy's error"]) < 1e-6,
                "no logit exceeds 88, where e^x overflows float32",
            )
        ),
        expected="holds only if",
        explanation="With two equal logits of 100 the formula gives inf / inf in float32, where the library stays "
        "within {torch[cross_entropy's error][2]:.0e} of log 2. The libraries subtract the largest logit first, which "
        "changes nothing in the formula and everything in its arithmetic.",
        faults={
            "exponentials that never overflow": {"formula gives a number": [True, True, True]},
            "a library that overflows too": {"cross_entropy's error": [0.0, 0.0, 3e38]},
        },
    ),
    Claim(
        id="notes-on-losses/l1-is-mae",
        statement="L1 measures the mean absolute error.",
        question="Is L1 the mean absolute error?",
        torch=numbers.mean_torch,
        jax=numbers.mean_jax,
        judge=each(rules.l1_is_mae),
        expected="holds only if",
        explanation="For four errors the vector of the formula is {torch[none]}, its sum {torch[sum]:g} and its mean "
        "{torch[mean]:g}. Only the last is the mean absolute error.",
        faults={
            "a mean that sums": {"mean": 6.0},
            "losses that are means already": {"none": [1.5, 1.5, 1.5, 1.5], "sum": 1.5},
        },
    ),
    Claim(
        id="notes-on-losses/l1-is-robust",
        statement="L1 is more robust against outliers than MSE.",
        question="Does one wild value spoil the squared loss more than the absolute one?",
        torch=numbers.minimizers_torch,
        jax=numbers.minimizers_jax,
        judge=each(rules.outliers),
        expected="holds",
        explanation="When the third of the values 0, 0, 1 becomes 100, the constant that minimizes L2 moves from "
        "{torch[L2 on 0, 0, 1]:.3f} to {torch[L2 on 0, 0, 100]:.2f}. L1's stays at {torch[L1 on 0, 0, 100]:.0e}, "
        "because an error's pull on it is 1 however large the error is.",
        faults={"an L1 that moves": {"L1 on 0, 0, 100": 33.3}, "an L2 that does not": {"L2 on 0, 0, 100": 0.3333}},
    ),
    Claim(
        id="notes-on-losses/l2-blurs",
        statement="L2 averages and gives blurrier images than L1.",
        question="Why do images trained with the squared loss look blurred?",
        torch=numbers.minimizers_torch,
        jax=numbers.minimizers_jax,
        judge=each(rules.blur),
        expected="holds",
        explanation="If a pixel is black in two pictures and white in one, gradient descent on L2 ends at the mean, a "
        "grey of {torch[L2 on 0, 0, 1]:.4f} (JAX {jax[L2 on 0, 0, 1]:.4f}) that none of the pictures has. On L1 it "
        "ends at the median, {torch[L1 on 0, 0, 1]:.0e} (JAX {jax[L1 on 0, 0, 1]:.0e}), which is a value that occurs.",
        faults={"an L2 that picks": {"L2 on 0, 0, 1": 0.0}, "an L1 that averages": {"L1 on 0, 0, 1": 0.3333}},
        figure=figures.minimizers,
    ),
    Claim(
        id="notes-on-losses/l1-not-differentiable",
        statement="L1 is not differentiable towards small values.",
        question="Where exactly has the absolute error no derivative?",
        torch=numbers.towards_zero_torch,
        jax=numbers.towards_zero_jax,
        judge=each(rules.kink),
        expected="holds only if",
        explanation="At an error of 1e-30 the gradient is {torch[gradient of L1][3]:g} like everywhere else; only at "
        "0 do the slopes {torch[slope of |e| left and right of 0]} on the two sides differ. There a convention rules: "
        "autodiff of the absolute value gives {torch[gradient of L1][4]:g} in PyTorch and {jax[gradient of L1][4]:g} "
        "in JAX.",
        faults={
            "a slope that fades": {"gradient of L1": [1.0, 1.0, 0.01, 0.0, 0.0]},
            "no kink at all": {"slope of |e| left and right of 0": [0.0, 0.0]},
        },
    ),
    Claim(
        id="notes-on-losses/l1-is-constant",
        statement="L1 is constant over all values and does not decrease towards 0.",
        question="Does the absolute error stay the same size near zero?",
        torch=numbers.towards_zero_torch,
        jax=numbers.towards_zero_jax,
        judge=each(rules.constant),
        expected="holds only if",
        explanation="From an error of 2 to one of 0.01 the L1 loss falls from {torch[L1][0]:g} to {torch[L1][2]:.2g} "
        "while its gradient stays at {torch[gradient of L1][2]:g}. L2's gradient falls from "
        "{torch[gradient of L2][0]:g} to {torch[gradient of L2][2]:.2g}, so that its steps shrink near the goal and "
        "L1's do not.",
        faults={
            "a loss that is constant": {"L1": [2.0] * 5},
            "a gradient that fades": {"gradient of L1": [1.0, 1.0, 0.01, 0.0, 0.0]},
        },
    ),
    Claim(
        id="notes-on-losses/smooth-l1-is-huber",
        statement="SmoothL1 is also known as Huber.",
        question="Are SmoothL1 and Huber's loss the same?",
        torch=numbers.huber_torch,
        jax=numbers.huber_jax,
        judge=each(rules.huber),
        expected="holds only if",
        explanation="For beta = delta = {torch[beta = delta]} the ratio of Huber to SmoothL1 is "
        "{torch[smallest ratio]} at every error, that is beta itself. They coincide at 1, the default of both, and "
        "elsewhere differ by a constant factor that acts like another learning rate.",
        faults={
            "the same at every beta": {"smallest ratio": [1.0, 1.0, 1.0], "largest ratio": [1.0, 1.0, 1.0]},
            "a ratio that depends on the error": {"largest ratio": [0.7, 1.0, 3.0]},
        },
    ),
    Claim(
        id="notes-on-losses/elastic",
        statement="As an objective, SmoothL1 is called elastic network.",
        question="Is SmoothL1 the elastic net?",
        torch=numbers.elastic_torch,
        jax=numbers.elastic_jax,
        judge=each(rules.elastic),
        expected="fails",
        explanation="Elastic net adds an absolute and a squared penalty: its slope jumps by "
        "{torch[elastic net: jump of the slope at 0]:.3g} at 0 and grows "
        "{torch[elastic net: slope at 100 over slope at 10]:.3g} times from 10 to 100. SmoothL1 is the opposite at "
        "both ends, with a jump of {torch[smooth L1: jump of the slope at 0]:.0e} at 0 and a growth of "
        "{torch[smooth L1: slope at 100 over slope at 10]:g}.",
        faults={
            "a penalty smooth at 0": {"elastic net: jump of the slope at 0": 0.0},
            "a penalty linear far out": {"elastic net: slope at 100 over slope at 10": 1.0},
        },
    ),
    Claim(
        id="notes-on-losses/smooth-l1-like-mse",
        statement="SmoothL1 behaves like MSE under a threshold and like L1 otherwise.",
        question="Is SmoothL1 MSE near zero and L1 far out?",
        torch=numbers.like_mse_torch,
        jax=numbers.like_mse_jax,
        judge=each(rules.like_mse),
        expected="holds only if",
        explanation="Above the threshold its gradient is L1's, ratio {torch[above: smooth / L1]}. Below, for beta = "
        "{torch[beta]}, it is {torch[below: smooth / MSE]} of MSE's: the formula carries a factor 0.5 / beta that MSE "
        "has not.",
        faults={
            "MSE at every beta": {"below: smooth / MSE": [1.0, 1.0, 1.0]},
            "another slope far out": {"above: smooth / L1": [0.5, 0.5, 0.5]},
        },
    ),
    Claim(
        id="notes-on-losses/smooth-l1-differentiable",
        statement="SmoothL1 has the advantage of being differentiable.",
        question="Has SmoothL1 a slope everywhere, without jumps?",
        torch=numbers.smooth_torch,
        jax=numbers.smooth_jax,
        judge=each(
            lambda n: decide(
                abs(n["jump of the slope at 0"]) < 1e-4 and abs(n["jump of the slope at the threshold"]) < 1e-4
            )
        ),
        expected="holds",
        explanation="A millionth to either side of 0 and of the threshold its slopes differ by "
        "{torch[jump of the slope at 0]:.0e} and {torch[jump of the slope at the threshold]:.0e}, where L1's jumps by "
        "2. Its curvature does jump, from {torch[curvature inside and outside the threshold][0]:g} to "
        "{torch[curvature inside and outside the threshold][1]:g}, which second-order methods notice.",
        faults={
            "a kink at 0": {"jump of the slope at 0": 2.0},
            "a kink at the threshold": {"jump of the slope at the threshold": 0.5},
        },
    ),
    Claim(
        id="notes-on-losses/nll-takes-probabilities",
        statement="NLLLoss takes the probabilities of the classes.",
        question="Should NLLLoss be given probabilities?",
        torch=classes.probabilities_torch,
        jax=classes.probabilities_jax,
        judge=each(rules.probabilities),
        expected="fails",
        explanation="Given probabilities 0.9, 0.5 and 0.01 of the true class it returns "
        "{torch[nll_loss of probabilities][0]:.2f}, {torch[nll_loss of probabilities][2]:.2f} and "
        "{torch[nll_loss of probabilities][5]:.2f}, with the same slope for all; given their logarithms it returns "
        "{torch[nll_loss of log-probabilities][0]:.3f}, {torch[nll_loss of log-probabilities][2]:.3f} and "
        "{torch[nll_loss of log-probabilities][5]:.3f}. It only picks an entry and negates it, so the logarithm has "
        "to be in the input.",
        faults={
            "a loss that takes the logarithm": {
                "nll_loss of probabilities": [0.1053605, 0.3566749, 0.6931472, 1.2039728, 2.3025851, 4.6051702]
            }
        },
        figure=figures.probabilities,
    ),
    Claim(
        id="notes-on-losses/not-enforced",
        statement="That the input comes from a LogSoftmax is not enforced.",
        question="Is one warned when NLLLoss is given probabilities by mistake?",
        torch=classes.probabilities_torch,
        jax=classes.probabilities_jax,
        judge=each(rules.not_enforced),
        expected="holds",
        explanation="Nothing was raised, and the loss came out as {torch[nll_loss of probabilities][0]:.2f}. A "
        "negative loss from NLLLoss is the sign to look for; JAX has no such function, and the formula written by "
        "hand checks no more.",
        faults={
            "an error that is raised": {"raised an error": True},
            "a loss that comes out right": {"nll_loss of probabilities": [0.1, 0.4, 0.7, 1.2, 2.3, 4.6]},
        },
    ),
    Claim(
        id="notes-on-losses/nll-weighted-mean",
        statement="NLLLoss's mean is the sum of l_n over the sum of w_n.",
        question="What does the weighted mean of NLLLoss divide by?",
        torch=classes.weighted_torch,
        jax=classes.weighted_jax,
        judge=each(rules.weighted_nll),
        expected="holds",
        explanation="With weights 1, 2 and 5 nll_loss gives {torch[nll_loss, labels]:.6f}, the sum over the sum of "
        "weights, and not {torch[sum / number of rows]:.6f}, the sum over the number of rows. It is also what "
        "repeating each row as often as its weight says gives, {torch[no weights, rows repeated 1, 2, 5 times]:.6f}, "
        "which is why weights suit unbalanced classes.",
        faults={"a mean over the number of rows": {"nll_loss, labels": 1.7741146}},
    ),
    Claim(
        id="notes-on-losses/cross-entropy-weighted-mean",
        statement="CrossEntropyLoss's mean is the sum of l_n over the sum of w_n.",
        question="Does the weighted mean of CrossEntropyLoss always divide by the weights?",
        torch=classes.weighted_torch,
        jax=classes.weighted_jax,
        judge=each(rules.weighted_ce),
        expected="holds only if",
        explanation="With class labels the mean is {torch[cross_entropy, labels]:.4f}; with the very same targets as "
        "one-hot rows it is {torch[cross_entropy, one-hot]:.4f}, since it then divides by the number of rows. In JAX "
        "it is a choice one writes down: jnp.average gives {jax[cross_entropy, labels]:.4f} and a plain mean "
        "{jax[cross_entropy, one-hot]:.4f}.",
        faults={
            "one-hot that divides by weights": {"cross_entropy, one-hot": 0.88705730},
            "labels that divide by rows": {"cross_entropy, labels": 1.7741146},
        },
    ),
    Claim(
        id="notes-on-losses/cross-entropy-is-nll",
        statement="CrossEntropyLoss is basically a good version of NLLLoss.",
        question="What is the difference between CrossEntropyLoss and NLLLoss?",
        torch=classes.same_torch,
        jax=classes.same_jax,
        judge=each(rules.good_nll),
        expected="holds only if",
        explanation="On the same input they are up to {torch[distance from nll_loss of the same input]:.3g} apart, "
        "but with log_softmax in between PyTorch's two are {torch[ulps from nll_loss of log_softmax, at most]:g} "
        "units in the last place apart. In JAX logsumexp(x) - x_y and log_softmax differ by up to "
        "{jax[ulps from nll_loss of log_softmax, at most]:g} units where the loss is close to 0, which is "
        "{jax[largest distance]:.0e} in absolute terms.",
        faults={
            "the same without log_softmax": {"distance from nll_loss of the same input": 0.0},
            "others even with it": {"largest distance": 0.1},
        },
    ),
    Claim(
        id="notes-on-losses/exclude-classes",
        statement="Some classes can be excluded during training.",
        question="Does ignore_index, or a zero weight, take a class out of training?",
        torch=classes.exclude_torch,
        jax=classes.exclude_jax,
        judge=each(rules.exclude),
        expected="holds only if",
        explanation="With ignore_index or a zero weight the rows of class 0 get the gradient "
        "{torch[ignore_index: largest gradient in rows of class 0]:g}, and the loss is that of the other rows alone. "
        "The logit of class 0 still gets a gradient of up to "
        "{torch[ignore_index: largest gradient of logit 0 in other rows]:.3f} from the other rows, which push it down.",
        faults={
            "a logit that is left alone": {
                "ignore_index: largest gradient of logit 0 in other rows": 0.0,
                "weight 0: largest gradient of logit 0 in other rows": 0.0,
            },
            "rows that count": {"weight 0: largest gradient in rows of class 0": 0.1},
            "a denominator that counts them": {"ignore_index: distance from leaving the rows out": 0.4},
        },
    ),
    Claim(
        id="notes-on-losses/all-are-here",
        statement="The list of names, from MSELoss to CosineEmbeddingLoss.",
        question="Does xloss have every loss that the notes name, in both frameworks?",
        torch=classes.named_torch,
        jax=classes.named_jax,
        judge=each(rules.named),
        expected="holds",
        explanation="Of {torch[named]} losses named, xloss.torch has {torch[implemented]} and xloss.jax "
        "{jax[implemented]}. Missing: {torch[missing]}.",
        faults={"one is not there": {"implemented": 15}, "none at all": {"implemented": 0}},
    ),
)

SEED = Seed(
    3,
    "notes-on-losses",
    "Notes on loss functions",
    "Lecture notes that go through PyTorch's losses, with formulas and remarks, and end with a list of names.",
    CLAIMS,
)
