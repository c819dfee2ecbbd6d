"""The terms that the reused vocabularies define, so that a term which nobody defined is found.

SSN and SOSA are the editions of 2017; S3N, the neural-network schema and its extensions as
published; the four vocabularies of Thing Descriptions are what the bundled context maps to.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from rdflib import SOSA, SSN, Namespace

from tinyfleet.ontology.contexts import TD_FILE, bundled
from tinyfleet.ontology.vocabulary import (
    HCTL,
    JSONSCHEMA,
    NNET,
    S3N,
    S3N_EXTEND,
    SOSA_EXTEND,
    SSN_EXTEND,
    SSN_SYSTEM,
    TD,
    TF,
    WOTSEC,
)

_WORDS: Final[tuple[tuple[Namespace, str], ...]] = (
    (
        NNET,
        """
        Activation AveragePool2D Classification Conv2D DepthwiseConv2D Dequantize
        FeatureExtraction Float16 Float32 FullyConnected Int16 Int8 Layer LayerType Logistic
        MaxPool2D Metric NetworkCategory NetworkInput NetworkOutput NeuralNetwork
        ObjectDetection Quantization Quantize Relu Reshape ResizeNearestNeighbor Softmax
        Tanh Top_1_accuracy Top_5_accuracy Unsupervised hasActivation hasCategory hasIndex
        hasInputInfo hasMetric hasMetricValue hasMultiplyAccumulateOps hasOutputInfo
        hasQuantization hasType inputLayer middleLayer outputLayer shapeIn shapeOut
        trainingDataset
        """,
    ),
    (
        S3N,
        """
        Algorithm AlgorithmExecution CommunicatingSystem ComputationalCost Error Indicator
        MaximumBandwidth Memory MicroController ProcedureFeature ProcedureProperty
        SmartSensor SpaceComplexity TimeComplexity cause forContext hasProcedureFeature
        hasProcedureProperty madeAlgorithmExecution
        """,
    ),
    (S3N_EXTEND, "Flash RAM"),
    (
        SOSA_EXTEND,
        "Accelerometer Camera Gyroscope Magnetometer Microphone Thermometer hasSensorInfo",
    ),
    (SSN_EXTEND, "provideInput"),
    (
        SSN_SYSTEM,
        """
        Accuracy ActuationRange BatteryLifetime Condition DetectionLimit Drift Frequency
        Latency MaintenanceSchedule MeasurementRange OperatingPowerRange OperatingProperty
        OperatingRange Precision Resolution ResponseTime Selectivity Sensitivity
        SurvivalProperty SurvivalRange SystemCapability SystemLifetime SystemProperty
        hasOperatingProperty hasOperatingRange hasSurvivalProperty hasSurvivalRange
        hasSystemCapability hasSystemProperty inCondition qualityOfObservation
        """,
    ),
)


@cache
def known_terms() -> Mapping[str, frozenset[str]]:
    """Return the words that each namespace defines, by the namespace's IRI."""
    known = {str(namespace): frozenset(words.split()) for namespace, words in _WORDS}
    # dir() lists what a closed namespace defines; iterating over one never ends
    for closed in (SOSA, SSN, TF):
        terms = (str(term) for term in dir(closed))
        known[str(closed)] = frozenset(term.removeprefix(str(closed)) for term in terms)
    context = bundled(TD_FILE)
    for prefix, namespace in (
        ("td", TD),
        ("hctl", HCTL),
        ("jsonschema", JSONSCHEMA),
        ("wotsec", WOTSEC),
    ):
        known[str(namespace)] = frozenset(re.findall(rf'"{prefix}:(\w+)"', context))
    return known
